#!/bin/sh
# Installs the stores from the distribution's packages where they are missing. Asks for nothing it does not need:
# with everything there it does nothing, and without root it says what to run.
set -eu

missing=
[ -x /usr/bin/redis-server ] || command -v redis-server >/dev/null || missing="$missing redis-server"
[ -n "$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || command -v initdb >/dev/null || missing="$missing postgresql"
[ -x /usr/sbin/rabbitmq-server ] || command -v rabbitmq-server >/dev/null || missing="$missing rabbitmq-server"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "Missing:$missing. Install them with this system's package manager, then run the same command again." >&2
  exit 2
fi
if [ "$(id -u)" != 0 ]; then
  echo "Missing:$missing. Run: sudo apt-get install --no-install-recommends$missing" >&2
  exit 2
fi

echo "Installing$missing ..."
# Tiketi starts instances of its own; the packages' default ones shall not start.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=120 update -qq
# shellcheck disable=SC2086 # a list of words
apt-get -o DPkg::Lock::Timeout=120 install -qq -y --no-install-recommends $missing >/dev/null
