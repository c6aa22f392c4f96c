#!/bin/sh
# Packs what a machine with nothing but a driver needs to run the tests and the benchmark on its GPU:
#
#   tests/cuda/make_gpu_package.sh BUILD_DIR PACKAGE.tar.gz
#   tar xzf PACKAGE.tar.gz && rushlight-gpu/run_on_gpu.sh          # on the other machine
#
# The program comes stripped, with CUDA's runtime inside; every library it wants beyond libc's own travels in lib/ (not all
# of them can be had as archives). Data: the cases of all operators in tests/golden, and of the Fashion-MNIST set the
# weights, 1,000 pictures and PyTorch's logits. Weights of the other networks are made up where they run.
set -eu

if [ $# -ne 2 ]; then
  sed -n '2,5s/^# \{0,1\}//p' "$0"
  exit 2
fi
build=$1
package=$2
source=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
root=$folder/rushlight-gpu
mkdir -p "$root/bin" "$root/lib" "$root/data/fashion" "$root/data/operators"

# What every Linux with a driver has: the C library, whose version must be that of this machine or newer.
is_of_libc() {
  case $1 in
    libc.so.*|libm.so.*|libdl.so.*|librt.so.*|libpthread.so.*|ld-linux*|linux-vdso.so.*) true ;;
    *) false ;;
  esac
}

program=$build/tests/cuda/cuda_on_gpu
if [ ! -x "$program" ]; then
  echo "$program is missing: build it first" >&2
  exit 1
fi
# By its name it knows which of the two it is.
strip -o "$root/bin/cuda_gpu_test" "$program"
ln -s cuda_gpu_test "$root/bin/bench_cuda"
# "libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x...)"
ldd "$program" | while read -r name arrow path _; do
  if [ "$arrow" != "=>" ] || is_of_libc "$name"; then continue; fi
  if [ ! -f "$path" ]; then
    echo "$program wants $name, which is not here" >&2
    exit 1
  fi
  strip --strip-unneeded -o "$root/lib/$name" "$path"
done

cp "$build"/golden/operators/*.pt "$build"/golden/operators-more/*.pt "$root/data/operators"
for file in fashion_cnn.pt images-1000.idx3-ubyte; do
  cp "$build/golden/fashion/$file" "$root/data/fashion"
done
# The logits of these pictures: the first 1,000 rows of ten floats, behind a header as long as before.
head -c $((128 + 1000 * 40)) "$build/golden/fashion/logits-10000.npy" |
  LC_ALL=C sed '1s/(10000, 10),/(1000, 10), /' > "$root/data/fashion/logits-10000.npy"
cp "$source/tests/cuda/run_on_gpu.sh" "$root"
git -C "$source" rev-parse HEAD > "$root/commit" 2> /dev/null || echo unknown > "$root/commit"
tar -C "$folder" -cf - rushlight-gpu | gzip -9 > "$package"
