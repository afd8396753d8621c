"use strict";
// The token of a first visit, which is a cookie now, is no part of what people copy.
(() => {
  const place = new URL(location.href);
  if (!place.searchParams.has("token")) return;
  place.searchParams.delete("token");
  history.replaceState(null, "", place);
})();
