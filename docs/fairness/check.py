"""Checks a draw with Python's standard library and nothing of Tiketi's: ``python3 check.py draw.json``.

Prints the numbers of joining by place. The beacon's signature is the one thing left out: compare the random value with
what drand publishes, https://api.drand.sh/<chain>/public/<round>.
"""

import hashlib
import json
import sys
from pathlib import Path

ROUNDS = 16


def sha256(data):
    """SHA-256."""
    return hashlib.sha256(data).digest()


def root_of(level):
    """Root of a Merkle tree over leaf hashes (RFC 9162): an odd one is carried up."""
    while len(level) > 1:
        pairs = [level[index : index + 2] for index in range(0, len(level), 2)]
        level = [sha256(b"\1" + pair[0] + pair[1]) if len(pair) == 2 else pair[0] for pair in pairs]
    return (level or [sha256(b"")])[0]


def places_of(n, key):
    """Place by number, both from 1."""
    bits = max(2, (n - 1).bit_length())
    left_bits, right_bits = bits // 2, bits - bits // 2

    def table(number):
        bits_in, bits_out = (left_bits, right_bits) if number % 2 else (right_bits, left_bits)
        words = hashlib.shake_256(f"tiketi-round-1\n{key}\n{n}\n{number}".encode()).digest(4 << bits_in)
        return [int.from_bytes(words[at : at + 4], "big") % (1 << bits_out) for at in range(0, len(words), 4)]

    tables = [table(number) for number in range(ROUNDS)]

    def permuted(index):
        left, right = divmod(index, 1 << right_bits)
        for number in range(0, ROUNDS, 2):
            left ^= tables[number][right]
            right ^= tables[number + 1][left]
        index = (left << right_bits) + right
        return index if index < n else permuted(index)

    return {seq: 1 + permuted(seq - 1) for seq in range(1, n + 1)}


def main():
    """Check the file named on the command line."""
    file = json.loads(Path(sys.argv[1]).read_text())
    facts, leaves = file["facts"], [bytes.fromhex(leaf) for leaf in file["leaves"]]
    n, root = len(leaves), root_of(leaves).hex()
    randomness = facts["beacon"]["randomness"] if facts["beacon"] else "-"
    key = sha256(f"tiketi-key-1\n{facts['secret']}\n{n}\n{root}\n{randomness}".encode()).hex()
    found = {"commitment": sha256(bytes.fromhex(facts["secret"])).hex(), "entries": n, "root": root, "key": key}
    for name, value in found.items():
        if facts[name] != value:
            sys.exit(f"{name} should be {value}")
    places = places_of(n, key)
    sys.stdout.write(" ".join(map(str, sorted(places, key=places.get))) + "\n")


if __name__ == "__main__":
    main()
