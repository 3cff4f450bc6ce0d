"""Tests that others wrote for their own clients, pointed at the broker at HOST:PORT: franz-go's, segmentio's and kafka-python's. One line a suite.

    interop/suites.sh [--only PART OF A NAME] [--binary KLAMM | --kafka]

They come from the Go module proxy and from PyPI and are built in the user's cache folder. What is excluded fails against Apache Kafka too, or needs what is not
there; the reason stands beside it, and whatever else fails is ours.
"""

import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

from checks import Checks, Different

TOOLS = os.environ["INTEROP_TOOLS"]
FRANZ, SEGMENTIO, KAFKA_PYTHON = "v1.22.2", "v0.4.51", "3.0.12"
SUITE_S_MAX = 900
# Several tests of segmentio's panic, so each is a process of its own.
AT_ONCE, TEST_S_MAX = 3, 150
# Its consumer loses a subscription that is made while its first request for metadata is under way: the answer, which has no topics, also ends the wish for another
# (update_metadata in its cluster.py), and nothing is asked for the next five minutes. It happens against Apache Kafka too. So what fails is tried again by itself.
KAFKA_PYTHON_ATTEMPTS = 3

EXCLUDED = {
    "TestClientElectLeaders": "fails against Apache Kafka with one broker",
    "TestDialerResolver": "wants port 9092",
    "TestReaderConsumerGroup": "a nil pointer of its own, against Apache Kafka 4 too",
    "TestReaderReadCompactedMessage": "creates a topic with a config that Apache Kafka 4 refuses as well",
    "TestRebalanceTooManyConsumers": "fails against Apache Kafka: too short a time",
    "TestUnsupportedSASLMechanism": "wants SASL on port 9093",
    "TestWriter/writing_a_message_with_SASL_Plain_authentication": "wants SASL on port 9093",
    "TestConn/test_delete_topics": "asks for the metadata of what it has deleted, by which it is made again: here before the answer, by Apache Kafka mostly after it",
    "TestConn/test_delete_topics_with_an_invalid_topic": "likewise",
    "TestConn/test_join_group_with_an_invalid_refreshTimeout": "wants a session of 3 s refused, which test_group of kafka-python wants taken",
    "TestClientCreateACLs": "needs an authorizer",
    "TestClientDeleteACLs": "needs an authorizer",
    "TestClientDescribeACLs": "needs an authorizer",
    "TestAlterUserScramCredentials": "needs SCRAM credentials",
    "TestDescribeUserScramCredentials": "needs SCRAM credentials",
    "test_create_describe_delete_acls": "needs an authorizer",
    "test_create_partitions": "wants a broker with id 0",
    "test_kafka_version_infer": "wants an older broker",
    "test_describe_configs_broker_resource_returns_configs": "wants a broker with advertised.listeners among its settings",
}


def run(*words, within_s=SUITE_S_MAX, **more):
    """What it says, however it ends."""
    try:
        done = subprocess.run([str(it) for it in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=within_s, text=True,
                              errors="replace", **more)
    except subprocess.TimeoutExpired:
        raise Different(f"{os.path.basename(str(words[0]))} takes longer than {within_s} s") from None
    return done.stdout


def made(name, make):
    """A folder that is whole as soon as it is there."""
    folder = os.path.join(TOOLS, "suites", name)
    if not os.path.exists(folder):
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        with tempfile.TemporaryDirectory(dir=os.path.dirname(folder)) as unfinished:
            make(unfinished)
            shutil.copytree(unfinished, folder)
    return folder


def must(*words, **more):
    done = subprocess.run([str(it) for it in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, **more)
    if done.returncode != 0:
        raise Different(f"{' '.join(map(str, words))}: {done.stdout[-300:]}")
    return done.stdout


def judged(results):
    """Those that failed and must not, and a summary."""
    count = collections.Counter(results.values())
    excluded = sorted(name for name, result in results.items() if result == "FAIL" and is_excluded(name))
    failed = sorted(name for name, result in results.items() if result == "FAIL" and not is_excluded(name))
    said = f"{count['PASS']} passed, {count['SKIP']} skipped; excluded: {', '.join(excluded) or 'none'}"
    if failed or not count["PASS"]:
        raise Different(f"{len(failed)} failed: {', '.join(failed)}; {said}")
    return said


def is_excluded(name):
    return any(name == it or name.startswith(f"{it}/") or name.endswith(f"::{it}") for it in EXCLUDED)


# --- Go


def go_results(said):
    """By test; one that has parts is those parts, and one that never ends has failed."""
    results = dict.fromkeys(re.findall(r"^\s*=== RUN\s+(\S+)", said, re.MULTILINE), "FAIL")
    results.update((name, result) for result, name in re.findall(r"--- (PASS|FAIL|SKIP): (\S+) \(", said))
    whole = {name.rsplit("/", depth)[0] for name in results for depth in range(1, name.count("/") + 1)}
    return {name: result for name, result in results.items() if name not in whole}


def franz(address):
    def make(folder):
        with open(os.path.join(folder, "go.mod"), "w") as file:
            file.write("module suites\n\ngo 1.25.0\n")
        with open(os.path.join(folder, "x_test.go"), "w") as file:
            file.write('package x\n\nimport _ "github.com/twmb/franz-go/pkg/kgo"\n')
        must("go", "get", "-t", f"github.com/twmb/franz-go/pkg/kgo@{FRANZ}", cwd=folder)
        must("go", "mod", "tidy", cwd=folder)
        must("go", "test", "-c", "-o", "kgo.test", "github.com/twmb/franz-go/pkg/kgo", cwd=folder)

    folder = made(f"franz-go-{FRANZ}", make)
    # One of them reads its own sources.
    sources = os.path.join(must("go", "list", "-m", "-f", "{{.Dir}}", "github.com/twmb/franz-go", cwd=folder).strip(), "pkg", "kgo")
    settings = {"KGO_SEEDS": address, "KGO_TEST_RF": "1", "KGO_TEST_RECORDS": "20000", "KGO_LOG_LEVEL": "none"}
    return judged(go_results(run(os.path.join(folder, "kgo.test"), "-test.v", f"-test.timeout={SUITE_S_MAX}s", cwd=sources, env={**os.environ, **settings})))


def segmentio(address):
    """It knows localhost:9092 only: in a copy another address stands in its place."""
    def make(folder):
        with open(os.path.join(folder, "go.mod"), "w") as file:
            file.write("module suites\n")
        found = json.loads(must("go", "mod", "download", "-json", f"github.com/segmentio/kafka-go@{SEGMENTIO}", cwd=folder))["Dir"]
        shutil.copytree(found, os.path.join(folder, "src"))
        must("chmod", "-R", "u+w", folder)

    host, port = address.rsplit(":", 1)
    with tempfile.TemporaryDirectory(prefix="klamm-suites-") as folder:
        copy = os.path.join(folder, "src")
        shutil.copytree(os.path.join(made(f"segmentio-{SEGMENTIO}", make), "src"), copy)
        for place in (copy, os.path.join(copy, "testing")):
            for name in os.listdir(place):
                if name.endswith("_test.go" if place == copy else ".go") and name != "address_test.go":
                    point_at(os.path.join(place, name), host, port)
        must("go", "test", "-mod=mod", "-vet=off", "-c", "-o", "kafka-go.test", ".", cwd=copy)
        tests = re.findall(r"^Test\w+", must("./kafka-go.test", "-test.list", ".", cwd=copy), re.MULTILINE)
        one = f'timeout -k 5 {TEST_S_MAX} ./kafka-go.test -test.v -test.run "^$0$" > "$0.said" 2>&1'
        subprocess.run(["xargs", "-P", str(AT_ONCE), "-n", "1", "bash", "-c", one], input="\n".join(tests), text=True, cwd=copy, check=False,
                       env={**os.environ, "KAFKA_VERSION": "3.7.0"}, timeout=SUITE_S_MAX)
        said = ""
        for test in tests:
            with open(os.path.join(copy, f"{test}.said"), errors="replace") as file:
                said += file.read()
    return judged(go_results(said))


def point_at(path, host, port):
    with open(path) as file:
        text = file.read()
    text = re.sub(r"(localhost|127\.0\.0\.1):9092", f"{host}:{port}", text)
    text = text.replace('TCP("localhost")', f'TCP("{host}:{port}")').replace('"localhost"', f'"{host}"').replace("@ localhost", f"@ {host}")
    with open(path, "w") as file:
        file.write(re.sub(r"\b9092\b", port, text))


# --- Python

# Stands for what would start a broker for the tests.
SERVICE = '''class ExternalService:
    def __init__(self, host, port):
        self.host, self.port = host, port

    def open(self):
        pass

    start = stop = close = dump_logs = open


class SpawnedService:
    pass
'''


def kafka_python(address):
    def make(folder):
        must(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", f"kafka-python=={KAFKA_PYTHON}", "-d", folder)
        (archive,) = [name for name in os.listdir(folder) if name.endswith(".tar.gz")]
        with tarfile.open(os.path.join(folder, archive)) as file:
            file.extractall(folder, filter="data")
        os.rename(os.path.join(folder, archive.removesuffix(".tar.gz")), os.path.join(folder, "src"))
        os.makedirs(os.path.join(folder, "src", "servers", "4.0", "kafka-bin"))
        for name, text in (("__init__.py", ""), ("service.py", SERVICE)):
            with open(os.path.join(folder, "src", "test", name), "w") as file:
                file.write(text)

    folder = os.path.join(made(f"kafka-python-{KAFKA_PYTHON}", make), "src")
    elsewhere = [f"--ignore=test/integration/test_{name}_integration.py" for name in ("sasl", "ssl")]
    said, results = kafka_python_results(folder, address, "test/integration", *elsewhere)
    if not re.search(r"\d+ passed", said):
        raise Different(f"it did not come to its end: {said[-300:]}")
    raced = sorted(name for name, result in results.items() if result == "FAIL" and not is_excluded(name))
    for name in raced:
        attempts = (kafka_python_results(folder, address, name)[1].get(name) for _ in range(KAFKA_PYTHON_ATTEMPTS))
        results[name] = "PASS" if "PASS" in attempts else "FAIL"
    return judged(results) + (f"; passed when tried again: {', '.join(raced)}" if raced else "")


def kafka_python_results(folder, address, *tests):
    said = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=90", "-rA", "--tb=no", "--show-capture=no", *tests,
               cwd=folder, env={**os.environ, "KAFKA_VERSION": "4.0", "KAFKA_URI": f"kafka://{address}"})
    words = {"PASSED": "PASS", "FAILED": "FAIL", "ERROR": "FAIL"}
    return said, {name: words[result] for result, name in re.findall(r"^(PASSED|FAILED|ERROR) (\S+)", said, re.MULTILINE)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("address")
    options = parser.parse_args()
    checks = Checks(options.only)
    for name, suite in ((f"franz-go {FRANZ}", franz), (f"segmentio kafka-go {SEGMENTIO}", segmentio), (f"kafka-python {KAFKA_PYTHON}", kafka_python)):
        checks.check(name, suite, options.address)
    checks.end()


if __name__ == "__main__":
    main()
