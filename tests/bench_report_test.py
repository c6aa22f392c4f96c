#!/usr/bin/env python3
"""The tables that bench/rivals/forward_report.py, bench/kernels_report.py and bench/cuda_report.py make, of made-up samples;
and the pages are what they make of the newest results.

    bench_report_test.py SOURCE_DIR
"""
import contextlib
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from unittest import mock

ROOT = pathlib.Path(sys.argv[1])
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / "bench" / "rivals"), str(ROOT / "bench")]
import cuda_report  # noqa: E402
import forward_report  # noqa: E402
import kernels_report  # noqa: E402
import layers  # noqa: E402
import quiet  # noqa: E402
import run  # noqa: E402
import threads  # noqa: E402


def block(rival, *rounds):
    return {"net": "mlp", "batch": 1, "threads": 1, "rival": rival, "against_torch": 1e-7, "against_double": 2e-7,
            "processors_busy_with_others": 0.0, "rounds_ns": [list(samples) for samples in rounds]}


def document():
    return {"date": "2026-01-02T03:04:05+00:00", "commit": "0123456789abcdef", "uncommitted_changes": False,
            "machine": {"cpu": "Processor", "processors_usable": 2, "virtual": False, "isa": ["avx2"]},
            "versions": {"rushlight": "0.1.0", "torch": "2.15.0", "torch-frozen": "2.15.0"},
            "nets": {"mlp": {"title": "MLP", "weights_bytes": 400_000}},
            "blocks": [block("rushlight", (2000, 2000), (1000, 3000)),
                       block("onnxruntime", (6000, 6000), (9000, 9000)),
                       block("openvino", (5000, 5000), (8000, 8000)),
                       block("torch", (20_000, 20_000), (20_000, 20_000))],
            "first_results": [{"net": "mlp", "threads": 1, "rival": "rushlight", "file_ns": [1_000_000, 3_000_000],
                               "process_ns": [4_000_000, 4_000_000]}],
            "memory": [{"net": "mlp", "rival": "rushlight", "anonymous_kib_before": 1000, "anonymous_kib_peak": 2000}],
            "allocations": [{"net": "mlp", "batch": 1, "threads": 1, "rival": "rushlight", "runs": 1000,
                             "allocations": 0}],
            "binary_bytes": {"rushlight": {"rushlight, stripped": 7_000_000},
                             "torch": {"libtorch_cpu.so": 500_000_000, "libtorch_cuda.so": 900_000_000}},
            "skipped": [{"rival": "ncnn", "net": "mlp", "why": "there is none"}]}


class Report(unittest.TestCase):
    def test_ratios_are_of_medians_to_the_best_engine(self):
        text = "\n".join(forward_report.section(pathlib.Path("x.json"), document()))
        self.assertIn("| MLP | 0.0020 | 0.0075 | 0.0065 | 0.0200 | **3.25** (2.50 to 4.00) | "
                      "**10.00** (10.00 to 10.00) |", text)
        self.assertIn("| MLP | 2 / 4 |", text)
        self.assertIn("| MLP | 0.4 | 1.02 |", text)
        self.assertIn("| PyTorch | 500 | `libtorch_cpu.so` |", text)
        self.assertIn("asked for memory 0 times within its 1,000 measured runs", text)
        self.assertIn("- ncnn mlp: there is none", text)
        self.assertNotIn("not to be quoted", text)

    def test_what_was_aimed_at_is_met_or_missed(self):
        measured = document()
        measured["blocks"].append(block("rushlight-fast", (1500,)))
        measured["nets"]["resnet50"] = {"title": "ResNet-50", "weights_bytes": 1}
        for threads, nanoseconds in ((1, 2000), (2, 1000)):
            for rival, factor in (("rushlight", 1), ("onnxruntime", threads)):
                measured["blocks"].append({**block(rival, (nanoseconds * factor,)), "net": "resnet50",
                                           "threads": threads})
        for rival, file_ns, process_ns in (("rushlight", 10, 100), ("onnxruntime", 30, 200), ("ncnn", 19.6, 300),
                                           ("torch", 90, 1100)):
            measured["first_results"].append({"net": "resnet50", "threads": 1, "rival": rival,
                                              "file_ns": [file_ns], "process_ns": [process_ns]})
        text = "\n".join(forward_report.section(pathlib.Path("x.json"), measured))
        self.assertIn("| MLP, batch 1: best engine / ours | 3.25 | 4.33 (4: met) |", text)
        self.assertIn("| MLP, batch 1: PyTorch / ours | 10.00 | 13.33 (12: met) |", text)
        self.assertIn("| ResNet-50, batch 1: best engine / ours | 1.00 (1.15: missed by 13 %) | - |", text)
        self.assertNotIn("| ResNet-50, batch 1: PyTorch / ours", text)
        self.assertIn("first result, best engine / ours | 1.96 (2: missed by 2 %) | - |", text)
        self.assertIn("first result with imports, PyTorch / ours | 11.00 (10: met) | - |", text)
        self.assertIn("| ResNet-50, batch 1: one thread / two (of the engines' at best 1.00) | 2.00 (1.85: met) | - |", text)
        self.assertEqual(forward_report.verdict(1.849, 1.85), "1.85 (1.85: missed by 1 %)")

    def test_errors_of_the_largest_batch_are_listed(self):
        measured = document()
        for row, rms in zip(measured["blocks"][:3], (1e-8, 3e-8, 2e-8)):
            row["rms_against_double"] = rms
        measured["blocks"].append({**block("rushlight", (9, 9)), "batch": 8, "rms_against_double": 4e-8})
        text = "\n".join(forward_report.section(pathlib.Path("x.json"), measured))
        self.assertIn("root mean square (largest), batch 8, 1 thread:", text)
        self.assertIn("| MLP | 4.0e-08 (2.0e-07) |", text)
        self.assertNotIn("1.0e-08", text)
        self.assertNotIn("root mean square", "\n".join(forward_report.section(pathlib.Path("x.json"), document())))

    def test_a_busy_machine_is_said(self):
        busy = document()
        busy["blocks"][1]["processors_busy_with_others"] = 0.7
        text = "\n".join(forward_report.section(pathlib.Path("x.json"), busy))
        self.assertIn("not to be quoted: MLP (batch 1, 1 thread) 0.7.", text)

    def test_bfloat16_may_have_a_run_of_its_own(self):
        bf16 = document()
        bf16["blocks"] = [block("rushlight", (4000, 4000)), block("rushlight-bf16", (1000, 1000)),
                          block("torch-bf16", (3000, 3000))]
        with self.results_are({"2026-01-03-rivals-bf16": bf16}):
            text = "\n".join(forward_report.section(pathlib.Path("2026-01-02-rivals-forward.json"), document()))
            older = pathlib.Path("2026-01-04-rivals-forward.json")
            self.assertNotIn("bfloat16", "\n".join(forward_report.section(older, document())))
        self.assertIn("bfloat16 in a run of its own", text)
        self.assertIn("| MLP | 0.0040 | 0.0010 | 0.0030 | **3.00** (3.00 to 3.00) | **4.00** (4.00 to 4.00) |", text)

    def test_first_results_may_have_a_run_of_their_own(self):
        first = document()
        first["blocks"] = []
        first["nets"] = {"resnet50": {"title": "ResNet-50", "weights_bytes": 1}}
        first["first_results"] = [{"net": "resnet50", "threads": 1, "rival": rival, "file_ns": file_ns, "process_ns": [9e6] * 3}
                                  for rival, file_ns in (("rushlight", [1e6, 2e6, 9e6]), ("onnxruntime", [5e6, 5e6, 5e6]))]
        measured = document()
        measured["nets"].update(first["nets"])
        measured["first_results"].append({"net": "resnet50", "threads": 1, "rival": "rushlight", "file_ns": [8e6],
                                          "process_ns": [9e6]})
        with self.results_are({"2026-01-02-rivals-first": first}):
            text = "\n".join(forward_report.section(pathlib.Path("2026-01-02-rivals-forward.json"), measured))
            older = "\n".join(forward_report.section(pathlib.Path("2026-01-03-rivals-forward.json"), measured))
        self.assertIn("medians of 3 processes in a run of its own, [2026-01-02-rivals-first.json]", text)
        self.assertIn("| ResNet-50 | 2 / 9 | 5 / 9 |", text)
        self.assertIn("first result, best engine / ours | 2.50 (2: met) | - |", text)
        self.assertNotIn("run of its own", older)

    def test_other_kinds_of_machine_follow(self):
        other = document()
        other["machine"]["cpu"] = "Other"
        with self.results_are({"2026-01-01-rivals-forward": other, "2026-01-02-rivals-forward": document()}):
            text = "\n".join(forward_report.other_machines(document()))
        self.assertEqual(text.count("### On another kind of machine"), 1)
        self.assertIn("### On another kind of machine: Other", text)
        self.assertIn("**3.25** (2.50 to 4.00)", text)

    @contextlib.contextmanager
    def results_are(self, documents):
        with tempfile.TemporaryDirectory() as folder, \
                mock.patch.object(forward_report, "RESULTS", pathlib.Path(folder)):
            for name, results in documents.items():
                (pathlib.Path(folder) / f"{name}.json").write_text(json.dumps(results))
            yield

    def test_the_chart_is_a_picture(self):
        root = xml.etree.ElementTree.fromstring(forward_report.chart(document()))
        texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
        self.assertIn("3.25 OpenVINO", texts)
        self.assertIn("10.00 PyTorch", texts)

    def test_the_page_is_that_of_the_newest_result(self):
        done = subprocess.run([sys.executable, ROOT / "bench" / "rivals" / "forward_report.py", "--check"],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


def sample(name, microseconds, **counters):
    return {"name": f"{name}/real_time", "real_time": microseconds, "cpu_time": microseconds, "time_unit": "us",
            **counters}


def kernels_document():
    layer = {"operations": 90e6, "bytes": 1e6, "layers": 3, "label": "conv"}
    return {"date": "2026-01-02T03:04:05+00:00", "commit": "0123456789abcdef", "uncommitted_changes": False,
            "machine": {"cpu": "Processor", "isa": ["avx2"]},
            "samples": [sample("peak/multiply_adds", 500, operations=100e6),
                        sample("peak/multiply_adds", 800, operations=100e6),
                        sample("peak/read", 1000, bytes=20e6),
                        *(sample("direct/net/a", time, **layer) for time in (450, 500, 900)),
                        *(sample("direct/net/b", time, **{**layer, "layers": 1}) for time in (900, 900, 900)),
                        sample("gemv/net/fc", 500, bytes=9e6, label="linear"),
                        sample("winograd2/net/a", 1, error_occurred=True)]}


class QuietProcessors(unittest.TestCase):
    def chosen(self, looks, threads, most_wait_s=60.0):
        machine = quiet.Quiet()
        machine.processors, machine.best_ns, machine.MOST_WAIT_S = [0, 1], 100, most_wait_s
        with mock.patch.object(machine, "look", side_effect=[dict(enumerate(look)) for look in looks]):
            return machine.wait(threads)

    def test_one_thread_waits_for_a_quiet_processor_and_stays_on_it(self):
        self.assertEqual(self.chosen([(200, 190), (180, 200), (200, 110)], 1), {1})

    def test_two_threads_wait_for_two_and_have_all(self):
        self.assertEqual(self.chosen([(100, 190), (110, 110)], 2), {0, 1})

    def test_nobody_waits_for_ever(self):
        self.assertEqual(self.chosen([(180, 200)], 1, most_wait_s=-1.0), {0})

    def test_looking_leaves_the_processors_as_they_were(self):
        before = os.sched_getaffinity(0)
        machine = quiet.Quiet()
        self.assertEqual(set(machine.look()), before)
        self.assertEqual(os.sched_getaffinity(0), before)
        self.assertLess(machine.best_ns, 60e9)


class Names(unittest.TestCase):
    def test_a_new_result_is_the_newest_though_others_are_gone(self):
        day = datetime.date.today().isoformat()
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            self.assertEqual(run.free_path(folder, "x").name, f"{day}-x.json")
            for there in ("x.json", "x-3.json", "x-y.json"):
                (folder / f"{day}-{there}").touch()
            self.assertEqual(run.free_path(folder, "x").name, f"{day}-x-4.json")
            self.assertEqual(run.free_path(folder, "x-y").name, f"{day}-x-y-2.json")


class Kernels(unittest.TestCase):
    def test_shares_are_of_the_fastest_peak_and_sums_count_every_layer(self):
        text = "\n".join(kernels_report.page(pathlib.Path("x.json"), kernels_document()))
        self.assertIn("**200 GFLOP/s**", text)
        self.assertIn("| a: conv | 3 | 0.500 | 180 | 90.0 % |", text)
        self.assertIn("| b: conv | 1 | 0.900 | 100 | 50.0 % |", text)
        self.assertIn("| **all layers** | **4** | **2.40** | **150** | **75.0 %** |", text)
        self.assertIn("| fc: linear | 9.0 | 0.50 | 18.0 | 90.0 % |", text)
        self.assertNotIn("Winograd on", text)
        self.assertNotIn("Other programs", text)

    def test_what_stays_in_l2_is_beside_reading_l2(self):
        measured = kernels_document()
        self.assertNotIn("of L2", "\n".join(kernels_report.page(pathlib.Path("x.json"), measured)))
        measured["samples"] += [sample("peak/read_l2", 4, bytes=400e3), sample("peak/read_l2", 5, bytes=400e3),
                                *(sample("gemv/mlp/0", time, bytes=400e3, label="linear") for time in (5, 5, 4.5))]
        text = "\n".join(kernels_report.page(pathlib.Path("x.json"), measured))
        self.assertIn("gives 100.0 GB/s", text)
        self.assertIn("| 0: linear | 400 | 5.00 | 4.50 | 80.0 | 80.0 % |", text)
        self.assertIn("| **all layers** | **9.0** |", text)

    def test_a_busy_machine_is_said(self):
        busy = kernels_document()
        busy["machine"]["load_average_before"] = ["7.6", "3.0", "2.0"]
        self.assertIn("load average 8", "\n".join(kernels_report.page(pathlib.Path("x.json"), busy)))
        busy = kernels_document()
        for each in busy["samples"]:
            each["real_time"] *= 2
        text = "\n".join(kernels_report.page(pathlib.Path("x.json"), busy))
        self.assertIn("at least 2.00 times as long", text)
        self.assertIn("| a: conv | 3 | 0.500 | 180 | 90.0 % |", text)  # by the thread's own clock

    def test_the_page_is_that_of_the_newest_result(self):
        done = subprocess.run([sys.executable, ROOT / "bench" / "kernels_report.py", "--check"],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


def cuda_document():
    case = {"net": "resnet50", "batch": 8, "precision": "bf16", "macs": 1, "bytes": 1, "roofline_seconds": 0.0002,
            "roofline_compute_seconds": 0.00005, "error_against_cpu": 0.002, "prepare_seconds": 0.01,
            "launching": "one CUDA graph of 53 kernels",
            "weights_bytes": 100_000_000, "workspace_bytes": 20_000_000, "device_bytes": 72_000_000}

    def row(place, launch, *seconds):
        return {"net": "resnet50", "batch": 8, "precision": "bf16", "place": place, "launch": launch,
                "seconds": list(seconds)}
    return {"date": "2026-01-02T03:04:05Z", "commit": "0123456789abcdef",
            "machine": {"gpu": {"name": "GPU", "processors": 132}, "driver_cuda_version": 13010},
            "peaks": [{"name": "fma", "sm_clock_hz": 1.7e9, "per_second": [5.1e13, 5.2e13]},
                      {"name": "copy", "sm_clock_hz": 0, "per_second": [4.0e12, 3.9e12]}],
            "uploads": {"pinned_copy_bytes_per_second": [5e10, 5e10], "tensor_bytes_per_second": [4.7e10, 1e10, 4.8e10]},
            "cases": [case, {**case, "batch": 64, "prepare_seconds": None, "launching": "53 launches: refused"}],
            "rows": [row("host", "together", 0.002, 0.001, 0.003), row("device", "together", 0.0008, 0.0008),
                     row("device", "one by one", 0.0009, 0.0011)],
            "targets": [{"what": "fast", "most_seconds": 0.001, "seconds": 0.0008, "verdict": "met"},
                        {"what": "faster", "most_seconds": 0.0001, "seconds": None, "verdict": "not measured"}],
            "least_upload_share": 0.9}


class Cuda(unittest.TestCase):
    def test_medians_stand_beside_the_roofline_and_the_targets(self):
        text = "\n".join(cuda_report.page(pathlib.Path("x.json"), cuda_document()))
        self.assertIn("| resnet50, bf16 | 8 | 2 |  | 0.8 | 1 | 10,000 | 25 % | 25 % | 2.0e-03 |", text)
        self.assertIn("| resnet50, bf16 | 64 |  |  |  |  |  |  |  |  |", text)  # nothing was measured
        self.assertIn("| fast | at most 1 ms | 0.8 ms | met |", text)
        self.assertIn("| faster | at most 0.1 ms |  | not measured |", text)
        self.assertIn("at least 90 % | 94 % | met |", text)
        self.assertIn("| float32 multiply-adds | 52.0 TFLOP/s | 1700 |", text)
        self.assertIn("| memory, reads and writes | 4000 GB/s |  |", text)
        self.assertIn("| resnet50, bf16 | 8 | 100.0 | 20.0 | 72.0 | 10 | 10.0 |", text)
        self.assertIn("driver for CUDA 13.1", text)
        self.assertIn("together:\n\n- resnet50, bf16, batch 64: 53 launches: refused\n", text)
        self.assertNotIn("batch 8: ", text)

    def test_rivals_stand_beside_the_precision_of_their_kind(self):
        def block(rival, *rounds):
            return {"net": "mlp", "batch": 1, "rival": rival, "rounds_ns": [list(rounds)]}
        document = {"date": "2026-01-02T03:04:05+00:00", "commit": "0123456789abcdef", "gpu": "GPU, 1",
                    "torch": {"torch": "2.15", "cuda": "13.2", "cudnn": 92000, "gpu": "GPU"},
                    "ways": {"rushlight-strict": "ours", "torch": "eager", "torch-graph": "graph",
                             "torch-tf32": "eager, TF32", "rushlight-bf16": "ours, bf16"},
                    "blocks": [block("rushlight-strict", 1e6, 2e6, 3e6), block("torch", 8e6), block("torch-graph", 3e6),
                               block("torch-tf32", 5e6), block("rushlight-bf16", 1e6)],
                    "skipped": [{"rival": "torch-compile", "net": "mlp", "why": "there is none"}]}
        text = "\n".join(cuda_report.beside_pytorch(pathlib.Path("x.json"), document))
        self.assertIn("| mlp | 1 | 2 | 8 | 3 | **1.50** |", text)
        self.assertIn("| mlp | 1 |  | 5 |  |", text)  # nobody of ours in TF32
        self.assertIn("| mlp | 1 | 1 |  |  |", text)  # no rival in 16 bits
        self.assertIn("cuDNN 92000", text)
        self.assertIn("- torch-compile mlp: there is none", text)

    def test_the_page_is_that_of_the_newest_result(self):
        done = subprocess.run([sys.executable, ROOT / "bench" / "cuda_report.py", "--check"], capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


class Layers(unittest.TestCase):
    def test_steps_of_a_kind_are_summed_and_the_slowest_named(self):
        def layer(name, kind, algorithm, ms, macs):
            return {"name": name, "kind": kind, "algorithm": algorithm, "median_ms": ms, "macs": macs,
                    "gb_per_second": 1.5, "percent_of_memory": 15.0}
        result = {"median_ms": 4.0, "machine": {"gflops": 200.0, "read_gb_per_second": 10.0},
                  "layers": [layer("a", "conv", "winograd 2x2", 1.0, 100_000_000), layer("b", "maxpool", None, 0.5, 0),
                             layer("c", "conv", "winograd 2x2", 2.5, 75_000_000)]}
        self.assertEqual([("conv, winograd 2x2", 2, 3.5, 100.0), ("maxpool", 1, 0.5, None)], layers.by_kind(result))
        text = "\n".join(layers.section("Net", "strict", result))
        self.assertIn("| conv, winograd 2x2 | 2 | 3.5 | 88 % | 100 | 50 % |", text)
        self.assertIn("| maxpool | 1 | 0.5 | 12 % |  |  |", text)
        self.assertIn("| c | conv, winograd 2x2 | 2.5 | 30 % | 1.5 | 15 % |", text)

    def test_the_page_is_that_of_the_newest_result(self):
        done = subprocess.run([sys.executable, ROOT / "bench" / "layers.py", "--check"], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


class Threads(unittest.TestCase):
    def test_ratios_are_those_of_rounds(self):
        ns = {"alone": [10e6, 12e6, 20e6], "beside_a_copy": [10e6, 12e6, 40e6], "the_copy": [20e6, 24e6, 40e6],
              "two_threads": [5e6, 8e6, 20e6]}
        result = {"net": "vgg16", "batch": 8, "precision": "fast", "ns": ns}
        self.assertEqual(["VGG16", "8", "fast", "12", "8", "1.50 (1.00 to 2.00)", "1.50 (1.00 to 1.50)"], threads.row(result))

    def test_the_page_is_that_of_the_newest_result(self):
        done = subprocess.run([sys.executable, ROOT / "bench" / "threads.py", "--check"], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
