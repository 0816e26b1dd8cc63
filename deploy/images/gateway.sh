#!/bin/sh
# The gateway in a container: renders nginx' configuration from the environment and runs nginx. nginx resolves names only when
# it loads its configuration, so this script reloads nginx when the addresses of a service change.
# `gateway serve`, `gateway health`, `gateway check` (tests the configuration).
set -eu
SOURCE=/etc/bookwheel
RUN=/run/bookwheel
RESOLVE_SECONDS=${BOOKWHEEL_GATEWAY_RESOLVE_SECONDS:-3}

if [ "${1:-serve}" = health ]; then
  exec curl --fail --silent --show-error --max-time 4 "http://127.0.0.1:${BOOKWHEEL_GATEWAY_LISTEN##*:}/livez"
fi

# The environment overrides the values of defaults.env.
while IFS='=' read -r name default; do
  case $name in
  '' | '#'*) continue ;;
  BOOKWHEEL_GATEWAY_RUN_DIR) default=$RUN ;;
  BOOKWHEEL_GATEWAY_HTML_DIR) default=$SOURCE/html ;;
  esac
  eval "value=\${$name-\$default}"
  case $value in
  *[\"\'\\\$\{\}\;\#]* | *[[:cntrl:]]*)
    echo "gateway: $name is invalid: it contains a character that nginx.conf does not allow: $value" >&2
    exit 2
    ;;
  esac
  export "$name=$value"
  names="${names:-} \${$name}"
done <"$SOURCE/defaults.env"

mkdir -p "$RUN/conf.d"
envsubst "$names" <"$SOURCE/nginx.conf.template" >"$RUN/nginx.conf"
for file in "$SOURCE"/conf.d/*.conf; do
  envsubst "$names" <"$file" >"$RUN/conf.d/${file##*/}"
done

resolve_services() { # prints the IP addresses of each service
  for address in "$BOOKWHEEL_ACCOUNTS_ADDRESS" "$BOOKWHEEL_CATALOG_ADDRESS" "$BOOKWHEEL_ML_ADDRESS"; do
    getent ahosts "${address%:*}" | cut -d' ' -f1 | sort -u || true
    echo "= $address"
  done
}
all_services_resolve() {
  for address in "$BOOKWHEEL_ACCOUNTS_ADDRESS" "$BOOKWHEEL_CATALOG_ADDRESS" "$BOOKWHEEL_ML_ADDRESS"; do
    getent ahosts "${address%:*}" >/dev/null || return 1
  done
}

if [ "${1:-serve}" = check ]; then exec nginx -t -e stderr -c "$RUN/nginx.conf"; fi
until all_services_resolve; do
  echo "gateway: waiting until the names of all services resolve" >&2
  sleep 1
done
loaded=$(resolve_services)
nginx -e stderr -c "$RUN/nginx.conf" &
nginx=$!
# On QUIT, nginx finishes open requests before it stops.
trap 'kill -QUIT "$nginx"' TERM INT QUIT
while kill -0 "$nginx" 2>/dev/null; do
  sleep "$RESOLVE_SECONDS" &
  wait $! || true
  resolved=$(resolve_services)
  if [ "$resolved" != "$loaded" ] && all_services_resolve && kill -HUP "$nginx" 2>/dev/null; then loaded=$resolved; fi
done
wait "$nginx"
