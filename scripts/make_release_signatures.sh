#!/usr/bin/env bash
# Writes tests/vectors/release: OpenPGP keys and signatures of the form that OKD releases have,
# good ones and bad ones. The keys are thrown away; running it again gives other bytes that the
# same tests accept. All dates are fixed, the tests' clock stands at 2026-02-01.
#
#   scripts/make_release_signatures.sh        (needs gpg 2.2 or later)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=$PWD/tests/vectors/release
GNUPGHOME=$(mktemp -d)
export GNUPGHOME
trap 'gpgconf --kill all; rm -rf "$GNUPGHOME"' EXIT
chmod 700 "$GNUPGHOME"
mkdir -p "$out"
find "$out" -maxdepth 1 -type f ! -name README.md -delete

# The clock starts at the given time; what follows are gpg's own arguments.
at() {
    local time=$1
    shift
    gpg --faked-system-time "$time" --batch --quiet --no-tty --pinentry-mode loopback \
        --passphrase '' --trust-model always "$@"
}

key() { # NAME ALGORITHM USAGE EXPIRES
    at 20260101T000000 --quick-generate-key "$1 (throwaway) <$1@example.com>" "$2" "$3" "$4"
}

fingerprint() { # NAME, of the primary key
    gpg --list-keys --with-colons "$1@example.com" | awk -F: '$1 == "fpr" { print $10; exit }'
}

export_key() { # NAME FILE
    gpg --export "$1@example.com" >"$out/$2.gpg"
}

digest=sha256:$(printf 'a release' | sha256sum | cut -d' ' -f1)
other=sha256:$(printf 'another release' | sha256sum | cut -d' ' -f1)

body() { # DIGEST REFERENCE TYPE
    printf '{"critical":{"image":{"docker-manifest-digest":"%s"},"type":"%s","identity":{"docker-reference":"%s"}},"optional":{"creator":"test","timestamp":1767571200}}' \
        "$1" "${3:-atomic container signature}" "$2"
}

sign() { # FILE SIGNER TIME [GPG ARGUMENT...], text on stdin
    local file=$1 signer=$2 time=$3
    shift 3
    at "$time" --local-user "$signer@example.com" "$@" --output "$out/$file.sig" --sign
}

good() { body "$digest" registry.example.com/okd/release:1.0; }

key alice rsa2048 sign never
key bob ed25519 cert never
at 20260101T000000 --quick-add-key "$(fingerprint bob)" ed25519 sign never
key carol ed25519 sign never
key short ed25519 sign 10d
key renewed ed25519 sign 10d
key revoked ed25519 sign never
key dropped ed25519 cert never
at 20260101T000000 --quick-add-key "$(fingerprint dropped)" ed25519 sign never

early=20260105T000000
late=20260120T000000

good | sign good alice $early
good | sign good-plain alice $early --compress-algo none
good | sign good-zlib alice $early --compress-algo zlib
good | sign good-subkey bob $early --compress-algo none
good | sign carol carol $early
good | sign short short $early
good | sign revoked revoked $early
good | sign dropped dropped $early
good | sign sha1 alice $early --digest-algo SHA1
good | sign expiring alice $early --default-sig-expire 5d
good | sign future alice 20270101T000000
good | sign text alice $early --textmode
good | sign two-signers alice $early --local-user carol@example.com
good | sign notation alice $early --sig-notation '!must@example.com=heed'
good | at $early --local-user alice@example.com --output "$out/detached.sig" --detach-sign
good | at $early --local-user alice@example.com --output "$out/clear.sig" --clearsign
good | at $early --output "$out/unsigned.sig" --store
body "$other" registry.example.com/okd/release:1.1 | sign other-digest alice $early
body "$digest" x 'another signature' | sign other-type alice $early
body "$digest" '' | sign no-reference alice $early
good | sed 's/"optional":{/"optional":{"more":1,/' | sign unknown-field alice $early
good | sed 's/$/{}/' | sign trailing alice $early
{ good; head -c 1000000 /dev/zero | tr '\0' ' '; } | sign bomb alice $early --compress-level 9

export_key renewed renewed-before
at $early --quick-set-expire "$(fingerprint renewed)" 300d
good | sign renewed renewed $late

# gpg keeps a revocation certificate for every key; its header is spoilt on purpose.
sed 's/^:---/---/' "$GNUPGHOME/openpgp-revocs.d/$(fingerprint revoked).rev" | at $late --import
at $late --command-fd 0 --no-batch --edit-key "$(fingerprint dropped)" >/dev/null 2>&1 <<'EOF'
key 1
revkey
y
0

y
save
EOF

for name in alice bob carol short renewed revoked dropped; do
    export_key $name $name
    printf '%s %s\n' "$(fingerprint $name)" "$name"
done >"$out/fingerprints.txt"
gpg --armor --export alice@example.com >"$out/alice.asc"
printf '%s\n' "$digest" >"$out/digest.txt"
