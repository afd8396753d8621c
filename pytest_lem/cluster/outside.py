"""Ray's client server, by which those use a cluster who are no part of it."""

from pytest_lem.errors import ConfigError

SCHEME = "ray://"
_ANSWERED_S = 5.0
_OPENED = (
    "`ray start --head --ray-client-server-port=10001` opens one, and its address is "
    "ray://HEAD:10001"
)


def check_server(address: str) -> None:
    """Say at once what does not let us in there, which Ray tries for half a minute.

    Raises ConfigError with the remedy.
    """
    try:
        import grpc
        from ray._private.grpc_utils import init_grpc_channel
        from ray.core.generated import ray_client_pb2 as messages
        from ray.core.generated.ray_client_pb2_grpc import RayletDriverStub
    except ImportError as error:
        msg = "ray is installed here without its client: pip install 'pytest-lem[ray]'"
        raise ConfigError(msg) from error
    question = messages.ClusterInfoRequest(type=messages.ClusterInfoType.PING)
    with init_grpc_channel(address.removeprefix(SCHEME)) as channel:
        try:
            RayletDriverStub(channel).ClusterInfo(
                question, timeout=_ANSWERED_S, metadata=[("client_id", "lem")]
            )
        except grpc.RpcError as error:
            raise ConfigError(_in_words(address, error.code().name, error)) from error


def _in_words(address: str, code: str, error: Exception) -> str:
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return (
            f"Ray's client server at {address} asks for a token: set "
            "RAY_AUTH_MODE=token here, with the cluster's in ~/.ray/auth_token"
        )
    if code == "UNIMPLEMENTED":
        return f"what answers at {address} is not Ray's client server: {_OPENED}"
    details = " ".join(str(getattr(error, "details", str)()).split())
    return f"no client server of Ray's answers at {address} ({details}): {_OPENED}"
