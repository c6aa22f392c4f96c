# Sourced by demo.sh and test.sh: sees to it that Debian's packages are there.
# need_packages PACKAGE...   installs the missing ones; when not root, prints the one line that does and stops.

rushlight_build_packages="g++ cmake ninja-build ccache pkg-config libeigen3-dev libxxhash-dev libdeflate-dev \
libsimdjson-dev libcli11-dev libfmt-dev libisal-dev libssl-dev \
libpng-dev libjpeg62-turbo-dev"
rushlight_test_packages="libgtest-dev libbenchmark-dev python3 zlib1g-dev openssl"

need_packages() {
  local missing=() package
  if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "this script installs Debian packages and found no dpkg; install by hand: $*" >&2
    exit 3
  fi
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  local line="apt-get install -y --no-install-recommends ${missing[*]}"
  if [ "$(id -u)" -ne 0 ]; then
    printf 'Some packages are missing. Install them with\n\n    sudo %s\n\nand start this script again.\n' "$line" >&2
    exit 3
  fi
  echo "installing: ${missing[*]}"
  # The lists may be absent (a fresh system) or old; an update without network is no reason to give up yet.
  apt-get update -q >/dev/null 2>&1 || true
  DEBIAN_FRONTEND=noninteractive $line -q >"${TMPDIR:-/tmp}/rushlight-apt.log" 2>&1 || {
    tail -n 20 "${TMPDIR:-/tmp}/rushlight-apt.log" >&2
    printf 'could not install the packages; the command was\n\n    %s\n' "$line" >&2
    exit 3
  }
}

# Compiler cache where there is one.
rushlight_launcher() {
  command -v ccache >/dev/null 2>&1 && printf -- '-DCMAKE_CXX_COMPILER_LAUNCHER=ccache'
}
