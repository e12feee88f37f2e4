#!/bin/sh
# corpus.sh FILE: writes 4 MB of English text, the King James Bible from Debian's bible-kjv, a verse a
# line without its reference ("Ge1:1 "). FILE appears whole or not at all.
set -eu
out=$1
trap 'rm -f "$out.verses" "$out.text"' EXIT
bible -f "Genesis1:1-Revelation22:21" </dev/null >"$out.verses"
sed 's/^[^ ]* //' "$out.verses" >"$out.text"
test "$(wc -l <"$out.text")" -eq 31102
mv "$out.text" "$out"
