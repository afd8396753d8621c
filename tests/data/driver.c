/* As much of CUDA's driver as is called, for devices 40 to 43, of which a process sees
   those that its variable names up to the first that is none. LEM_TEST_OTHERS puts
   another in the first one's place, LEM_TEST_REFUSED refuses contexts on 41. */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
static int seen[8], count;
int cuInit(unsigned flags) {
    char *told = getenv("CUDA_VISIBLE_DEVICES"), *rest = strdup(told), *one;
    while ((one = strsep(&rest, ","))) {
        int device = strtol(strncpy((char[3]){0}, one + 4, 2), NULL, 16);
        if (device < 40 || device > 43) break;
        seen[count++] = device;
    }
    if (getenv("LEM_TEST_OTHERS")) seen[0] = 43;
    return flags;
}
int cuDeviceGetCount(int *found) { *found = count; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = seen[ordinal]; return 0; }
int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
    memset(uuid, device, 16); return 0;
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
    FILE *log = fopen(getenv("LEM_TEST_RETAINED"), "a");
    fprintf(log, "%d ", device);
    fclose(log);
    *context = log;
    return getenv("LEM_TEST_REFUSED") && device == 41 ? 2 : 0;
}
