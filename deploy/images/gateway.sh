#!/bin/sh
# The gateway in a container: renders nginx' configuration from the environment, runs nginx, and reloads it when a service's
# name resolves to other addresses, because nginx resolves names at its start only.
# `gateway serve`, `gateway health`, `gateway check` (the configuration).
set -eu
SOURCE=/etc/bookwheel
RUN=/run/bookwheel
LOOK_EVERY=${BOOKWHEEL_GATEWAY_RESOLVE_SECONDS:-3}

if [ "${1:-serve}" = health ]; then
  exec curl --fail --silent --show-error --max-time 4 "http://127.0.0.1:${BOOKWHEEL_GATEWAY_LISTEN##*:}/livez"
fi

# The defaults of defaults.env, unless the environment sets them.
while IFS='=' read -r name value; do
  case $name in
  '' | '#'*) continue ;;
  BOOKWHEEL_GATEWAY_RUN_DIR) value=$RUN ;;
  BOOKWHEEL_GATEWAY_HTML_DIR) value=$SOURCE/html ;;
  esac
  eval "given=\${$name-\$value}"
  case $given in
  *[\"\'\\\$\{\}\;\#]* | *[[:cntrl:]]*)
    echo "gateway: setting $name holds a character that nginx.conf can't take: $given" >&2
    exit 2
    ;;
  esac
  export "$name=$given"
  names="${names:-} \${$name}"
done <"$SOURCE/defaults.env"

mkdir -p "$RUN/conf.d"
envsubst "$names" <"$SOURCE/nginx.conf.template" >"$RUN/nginx.conf"
for file in "$SOURCE"/conf.d/*.conf; do
  envsubst "$names" <"$file" >"$RUN/conf.d/${file##*/}"
done

addresses() { # where the services' names lead
  for address in "$BOOKWHEEL_ACCOUNTS_ADDRESS" "$BOOKWHEEL_CATALOG_ADDRESS" "$BOOKWHEEL_ML_ADDRESS"; do
    getent ahosts "${address%:*}" | cut -d' ' -f1 | sort -u || true
    echo "= $address"
  done
}
all_known() { for address in "$BOOKWHEEL_ACCOUNTS_ADDRESS" "$BOOKWHEEL_CATALOG_ADDRESS" "$BOOKWHEEL_ML_ADDRESS"; do
  getent ahosts "${address%:*}" >/dev/null || return 1
done; }

if [ "${1:-serve}" = check ]; then exec nginx -t -e stderr -c "$RUN/nginx.conf"; fi
until all_known; do
  echo "gateway: waiting for the names of the services" >&2
  sleep 1
done
known=$(addresses)
nginx -e stderr -c "$RUN/nginx.conf" &
nginx=$!
# QUIT lets open requests finish.
trap 'kill -QUIT "$nginx"' TERM INT QUIT
while kill -0 "$nginx" 2>/dev/null; do
  sleep "$LOOK_EVERY" &
  wait $! || true
  found=$(addresses)
  if [ "$found" != "$known" ] && all_known && kill -HUP "$nginx" 2>/dev/null; then known=$found; fi
done
wait "$nginx"
