#!/usr/bin/env python3
"""The heap's table in README.md: `heap_table.py DIRECTORY [WORKLOAD ...]`.

DIRECTORY holds the programs of the heap rig, one for each allocator, `bin-hoopsnake` and so on. All are copied anew for
each round: a program's peak memory depends, by up to 5% of a small one's, on how its file lies in the page cache, and its
time by up to a tenth. `SCALE=0.1` makes each run a tenth as long, `SQUARES=10` ten times as many: on a machine that others
disturb for moments. `PEERS="hoopsnake rusty"` takes these alone, an even number of them; so builds of one's own are compared.
`RAW=/tmp/raw` keeps each run's time and memory there, as JSON, also if the rest is cut short.

In ten rounds each allocator runs once directly after each other one, and once in each place: what a program leaves
behind (huge pages that the machine has, or has given back to its host) costs the next one up to half its time.

`QUIET=1.06`: where others share the machine's cores, a run counts only if a fixed piece of work takes at most so many
times its least time, before and after it, on the cores that the run may use; else it is done again.
"""
import hashlib, json, math, os, re, resource, shutil, statistics, subprocess, sys, tempfile, threading, time

ALL = "hoopsnake mimalloc mimalloc-nothp mimalloc2 rusty snmalloc jemalloc rpmalloc system floor"
PEERS = os.environ.get("PEERS", ALL).split()
GROUPS = {
    "pairs": ["pair 16", "pair 64", "pair 256", "pairdyn 64"],
    "batches": ["lifo 1000 64", "lifo 100000 64", "fifo 1000 64", "fifo 10000 64", "random 1000 64",
                "random 20000 64", "random 100000 64", "larson1"],
    "growth": ["vecgrow1k", "strgrow", "manyvec"],
    "real programs": ["json", "btree", "hashmap", "syn", "regex", "trees", "strings", "linked"],
    "two threads": ["larson2", "prodcons", "pingpong"],
}


def order(round):
    """A row of the balanced Latin square of an even number of peers (Williams, 1949)."""
    n = len(PEERS)
    zigzag = [i // 2 + 1 if i % 2 else (n - i // 2) % n for i in range(n)]
    return [PEERS[(place + round) % n] for place in zigzag]


WORK = bytes(1 << 20)
least = {}
busy = 0


def probe(cores):
    """How many times its least time a fixed piece of work takes now, on the worst of these cores, all at once."""
    def on(core):
        os.sched_setaffinity(0, {core})
        start = time.perf_counter()
        for _ in range(8):
            hashlib.blake2b(WORK).digest()
        took[core] = time.perf_counter() - start
        least[core] = min(took[core], least.get(core, took[core]))
    took = {}
    threads = [threading.Thread(target=on, args=[core]) for core in cores]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return max(took[core] / least[core] for core in cores)


def run_quietly(directory, peer, work, limit):
    """As `run`, again and again until the machine is quiet before and after it."""
    global busy
    cores = [0, 1] if work in GROUPS["two threads"] else [1]
    while True:
        while limit and probe(cores) > limit: pass
        result = run(directory, peer, work)
        if not limit or probe(cores) <= limit:
            return result
        busy += 1


def run(directory, peer, work):
    """Nanoseconds of an operation and peak MiB. On one thread, lost time slices do not count."""
    two = work in GROUPS["two threads"]
    env = dict(os.environ, MIMALLOC_ALLOW_THP="0") if peer.endswith("-nothp") else None
    words = ([] if two else ["taskset", "-c", "1"]) + [f"{directory}/bin-{peer.removesuffix('-nothp')}"] + work.split()
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    out = subprocess.run(words, capture_output=True, text=True, env=env, check=True).stdout
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - start
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    ns, mib = map(float, re.search(r"ns_per_op (\S+) rss_mb (\S+)", out).groups())
    return ns * (1 if two else min(1, cpu / wall)), mib


def mean(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def print_table(got):
    """Ours as median (least), a peer's time over ours; then what the goals are about."""
    both = lambda row: (statistics.median(t for t, _ in row), min(t for t, _ in row))
    short = lambda x: f"{x:.1f}" if x < 1000 else f"{x / 1000:.1f} k"
    ratio = {(w, p): [a / b for a, b in zip(both(row[p]), both(row["hoopsnake"]))] for w, row in got.items() for p in PEERS}
    print(f"| | {' | '.join(PEERS)} |\n|---|{'---|' * len(PEERS)}")
    for w, row in got.items():
        ours = "{} ({})".format(*map(short, both(row["hoopsnake"])))
        print(f"| {w} | {ours} | {' | '.join('{:.2f} ({:.2f})'.format(*ratio[w, p]) for p in PEERS[1:])} |")
    peak = lambda p: mean([statistics.median(m for _, m in row[p]) / statistics.median(m for _, m in row["hoopsnake"]) for row in got.values()])
    print(f"| *peak RSS, mean* | | {' | '.join(f'{peak(p):.2f}' for p in PEERS[1:])} |\n")
    peers = [p for p in PEERS[1:] if p != "floor"]
    for group, works in GROUPS.items():
        works = [w for w in works if w in got]
        best = {w: [min((ratio[w, p][i], p) for p in peers) for i in (0, 1)] for w in works}
        for w in works:
            print(f"{group}: {w}: best peer {' / '.join('{:.2f} {}'.format(*b) for b in best[w])}")
        if works:
            means = lambda of: " / ".join(f"{mean([of(w, i) for w in works]):.3f}" for i in (0, 1))
            print(f"{group}: mean of the best {means(lambda w, i: best[w][i][0])}")
            print(f"{group}: mean by peer", {p: means(lambda w, i: ratio[w, p][i]) for p in peers})


def main():
    directory, works = sys.argv[1], sys.argv[2:] or sum(GROUPS.values(), [])
    got = {w: {p: [] for p in PEERS} for w in works}
    limit = float(os.environ.get("QUIET", 0))
    for _ in range(100 if limit else 0): probe([0, 1])
    for w in works:
        for round in range(len(PEERS) * int(os.environ.get("SQUARES", 1))):
            with tempfile.TemporaryDirectory() as copies:
                shutil.copytree(directory, copies, dirs_exist_ok=True)
                for p in order(round):
                    got[w][p].append(run_quietly(copies, p, w, limit))
        print(w, f"({busy} runs done again)" if limit else "", file=sys.stderr, flush=True)
        with open(os.environ.get("RAW", os.devnull), "w") as raw:
            json.dump({w: row for w, row in got.items() if row[PEERS[0]]}, raw)
    print_table(got)


main()
