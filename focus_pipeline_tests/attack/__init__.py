"""`make attack`: kills, races, damaged files and manifests, bombs, full disks and little memory, on loopback only.

Each part looks for illegal states, and prints how many it found: there must be none. docs/attack.md says what they are.
"""
