#!/usr/bin/env python3
"""Runs `allaprima live` on the test card under Xvfb with random keys, and watches memory and latency.

    benches/live_soak.py [MINUTES] [ARGUMENT OF allaprima live...]

Prints resident memory every tenth of the time and the summary of the run; fails if memory grew by more than 5 % (and 4 MiB)
between the first fifth and the last, if frames grew older by more than a fifth (and 10 ms) between the first third of the
minutes and the last (medians of the minutes' 95th percentile: keys change the work from one minute to the next), or if less
than half of what the camera gave was painted. ALLAPRIMA names the program, else target/release/allaprima is run. Needs Xvfb
and xdotool.
"""
import json, os, random, statistics, subprocess, sys, time

KEYS = ["Left", "Right", "Up", "Down", "b", "bracketleft", "bracketright", "comma", "period", "c", "v", "minus",
        "equal", "a", "a", "space", "space", "m", "h", "i", "f", "1", "2", "7"]
here = os.path.dirname(os.path.abspath(__file__))
program = os.environ.get("ALLAPRIMA", os.path.join(here, "..", "target", "release", "allaprima"))
minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0

server = subprocess.Popen(["Xvfb", "-displayfd", "1", "-screen", "0", "1280x800x24"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL)
os.environ["DISPLAY"] = ":" + server.stdout.readline().decode().strip()
live = subprocess.Popen([program, "live", "--camera", "test", "--duration", str(minutes * 60), "--json", *sys.argv[2:]],
                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def resident_mib():
    with open(f"/proc/{live.pid}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


random.seed(5)
started, samples, pressed, next_line = time.time(), [], 0, 0.0
while live.poll() is None and time.time() - started < minutes * 60 - 2:
    subprocess.run(["xdotool", "key", random.choice(KEYS)], stderr=subprocess.DEVNULL)
    pressed += 1
    passed = (time.time() - started) / (minutes * 60)
    samples.append((passed, resident_mib()))
    if passed >= next_line:
        print(f"{passed * minutes:6.1f} min {samples[-1][1]:7.1f} MiB", flush=True)
        next_line += 0.1
    time.sleep(random.uniform(0.2, 1.0))
summary = json.loads(live.communicate()[0])
server.terminate()
early = max(mib for passed, mib in samples if passed < 0.2)
late = max(mib for passed, mib in samples if passed > 0.8)
print(f"{pressed} keys; at most {early:.1f} MiB in the first fifth, {late:.1f} MiB in the last")
print({key: summary[key] for key in ("captured", "dropped", "shown", "fps", "latency_ms", "peak_rss_mib")})
minutely = summary["latency_ms"]["p95_by_minute"]
third = max(1, len(minutely) // 3)
young, old = statistics.median(minutely[:third] or [0]), statistics.median(minutely[-third:] or [0])
print(f"latency, 95 % under: {young:.1f} ms in the first third, {old:.1f} ms in the last")
grew = late > max(early * 1.05, early + 4) or old > max(young * 1.2, young + 10)
sys.exit(live.returncode or int(grew or summary["painted"] < summary["captured"] / 2))
