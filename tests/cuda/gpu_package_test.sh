#!/bin/sh
# The package for machines with a GPU: small enough, complete, and honest where there is none.
#
#   gpu_package_test.sh BUILD_DIR
set -eu

most_bytes=$((24 * 1024 * 1024))
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() {
  echo "FAILED: $1"
  exit 1
}

"$here/make_gpu_package.sh" "$1" "$folder/package.tar.gz"
size=$(wc -c < "$folder/package.tar.gz")
echo "the package has $size bytes of at most $most_bytes"
[ "$size" -le "$most_bytes" ] || fail "the package is too large"

mkdir "$folder/elsewhere"
tar -C "$folder/elsewhere" -xzf "$folder/package.tar.gz"
package=$folder/elsewhere/rushlight-gpu
[ -s "$package/commit" ] || fail "nobody can tell which commit this is"
cmp "$package/data/fashion/fashion_cnn.pt" "$1/golden/fashion/fashion_cnn.pt"
cases=$(ls "$package/data/operators" | wc -l)
[ "$cases" -ge 150 ] || fail "$cases files of operators are too few"

# The one program is the benchmark under that name.
if LD_LIBRARY_PATH=$package/lib "$package/bin/bench_cuda" --seconds > "$folder/log" 2>&1; then
  fail "bench_cuda takes a word without its value"
fi
grep -q '^bench_cuda: --seconds wants a value$' "$folder/log" || fail "bench_cuda is another program"

# Whatever is not the C library comes from the package.
for program in "$package"/bin/*; do
  LD_LIBRARY_PATH=$package/lib ldd "$program" > "$folder/libraries"
  if grep -v -e "=> $package/lib/" -e 'linux-vdso' -e '/ld-linux' \
       -e '^[[:space:]]*lib\(c\|m\|dl\|rt\|pthread\)\.so\.' "$folder/libraries"; then
    fail "${program##*/} wants the libraries above from the system"
  fi
done

# In an empty environment, from another folder: as on the machine it is for.
status=0
(cd / && env -i PATH=/usr/bin:/bin EVIDENCE="$folder/evidence.json" "$package/run_on_gpu.sh" > "$folder/log" 2>&1) ||
  status=$?
last=$(tail -n 1 "$folder/log")
echo "run_on_gpu.sh ended with $status: $last"
case $status in
  0)
    echo "$last" | grep -Eq '^[1-9][0-9]* passed, 0 failed, [0-9]+ skipped$' || fail "the last line is another"
    ;;
  77)
    # Nothing ran, so nothing passed; and the reason stands there.
    echo "$last" | grep -Eq '^0 passed, 0 failed, [1-9][0-9]* skipped$' || fail "the last line is another"
    grep -q 'cuda:0: ' "$folder/log" || fail "there is no reason for skipping"
    ;;
  *)
    cat "$folder/log"
    fail "status $status"
    ;;
esac
grep -q "\"commit\": \"$(cat "$package/commit")\"" "$folder/evidence.json" || fail "the evidence has another commit"
