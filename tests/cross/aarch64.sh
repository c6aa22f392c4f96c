#!/usr/bin/env bash
# Builds the libraries for AArch64 with Debian's cross compiler and runs their tests under QEMU, NEON kernels included.
#   tests/cross/aarch64.sh [--evidence] [TEST...]
# TEST is the name of a test program (operators_test); without any those run that are quick enough, of every layer.
# With --evidence it writes tests/evidence/<date>-aarch64.json, with -2, -3 ... where there is one.
# Installs the compiler and QEMU; the target's libraries are unpacked into build/aarch64-packages and installed nowhere.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=.ci/packages.sh
. .ci/packages.sh
evidence=false
tests=()
for argument in "$@"; do
  case $argument in
    --evidence) evidence=true ;;
    *_test) tests+=("$argument") ;;
    *) echo 'usage: tests/cross/aarch64.sh [--evidence] [TEST...]' >&2; exit 2 ;;
  esac
done
if [ ${#tests[@]} -eq 0 ]; then
  tests=(operators_test runtime_test allocation_test tensor_test pickle_test zip_test base_test
    checksum_test value_test io_test model_test checkpoint_test interchange_test doors_test image_test
    open_test open_golden_test save_test save_golden_test)
fi
need_packages g++-12-aarch64-linux-gnu qemu-user-static cmake ninja-build python3

# Packages of another architecture beside those of this machine: an apt of their own, so that the system's knows nothing
# of them.
packages=build/aarch64-packages
libraries='libgtest-dev libxxhash-dev libxxhash0 libdeflate-dev libdeflate0 libsimdjson-dev libsimdjson14 libssl-dev libssl3 libeigen3-dev'
if [ "$(cat $packages/unpacked 2>/dev/null || true)" != "$libraries" ]; then
  rm -rf $packages
  mkdir -p $packages/apt/lists/partial $packages/apt/archives/partial
  apt_folder=$PWD/$packages/apt
  apt_options=(-q -o "Dir::State::lists=$apt_folder/lists" -o "Dir::Cache=$apt_folder" -o Dir::State::status=/dev/null
    -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User="$(id -un)" -o Debug::NoLocking=1)
  apt-get "${apt_options[@]}" update >"$apt_folder/log" 2>&1 || { tail "$apt_folder/log" >&2; exit 3; }
  # shellcheck disable=SC2086
  (cd "$apt_folder" && apt-get "${apt_options[@]}" download $libraries >>log 2>&1) || { tail "$apt_folder/log" >&2; exit 3; }
  for package in "$apt_folder"/*.deb; do dpkg-deb -x "$package" $packages; done
  # The compiler of the target would look into its architecture's folder by itself.
  cp -r $packages/usr/include/aarch64-linux-gnu/. $packages/usr/include/
  rm -rf "$apt_folder"
  echo "$libraries" >$packages/unpacked
fi

# shellcheck disable=SC2046
cmake --preset aarch64 $(rushlight_launcher) >build/aarch64-configure.log || { cat build/aarch64-configure.log >&2; exit 1; }
cmake --build --preset aarch64 --target "${tests[@]}"
options=()
if $evidence; then options+=(--evidence); fi
exec python3 tests/cross/run_tests.py build/aarch64 "${options[@]}" "${tests[@]}"
