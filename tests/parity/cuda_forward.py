#!/usr/bin/env python3
"""bench/rivals/cuda_forward.py with the processor in the GPU's place: what it starts answers, rightly or by name.

    cuda_forward.py BUILD_DIR
"""
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "bench" / "rivals" / "cuda_forward.py"
ANSWER = ["rushlight-strict", "rushlight-bf16", "torch", "torch-channels-last-tf32", "torch-bf16"]


def main():
    build = pathlib.Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, SCRIPT, "--device", "cpu", "--dry-run", "--nets", "mlp,fashion_cnn", "--batches", "3",
             "--rounds", "2", "--seconds", "0.01", "--rivals", ",".join([*ANSWER, "torch-graph"]), "--build", build,
             "--folder", folder, "--python", sys.executable], capture_output=True, text=True, check=False)
        print(done.stderr)
        assert done.returncode == 0, done.returncode
        measured = [line for line in done.stderr.splitlines() if line.rstrip()[-4:-2] in ("e-", "e+") and " ms " in line]
        assert len(measured) == 2 * len(ANSWER), measured
        for net in ("mlp", "fashion_cnn"):
            assert f"SKIPPED: torch-graph {net} 3: ended with 1: CUDA graphs need a GPU" in done.stderr
        # A result that is another network's is no rival's.
        sys.path.insert(0, str(SCRIPT.parent))
        sys.dont_write_bytecode = True
        import cuda_forward
        words = cuda_forward.read_array(pathlib.Path(folder) / "mlp" / "torch-b3.f32", "f")
        right = cuda_forward.read_array(pathlib.Path(folder) / "mlp" / "double-b3.f64", "d")
        assert cuda_forward.relative_error(words, right) < 1e-5
        assert cuda_forward.relative_error(words, right[::-1]) > cuda_forward.LARGEST_ERROR["float32"]
    # Without a GPU nothing is measured, and that is what it says.
    done = subprocess.run([sys.executable, SCRIPT, "--nets", "mlp", "--build", build, "--dry-run"], capture_output=True,
                          text=True, check=False, env={"CUDA_VISIBLE_DEVICES": "", "PATH": "/usr/bin:/bin"})
    assert done.returncode == 77, (done.returncode, done.stderr)
    assert "sees no GPU" in done.stderr, done.stderr
    print("cuda_forward: ok")


if __name__ == "__main__":
    main()
