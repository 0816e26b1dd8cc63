#!/bin/sh
# Runs in an image's build and prints the distribution's packages as CycloneDX: `distribution.sh NAME VERSION` of the image.
# Shell and awk, because nginx' base image has nothing else. Package names and versions need no escapes in JSON
# (https://www.debian.org/doc/debian-policy/ch-controlfields.html#version); purls need two characters escaped.
set -eu
. /etc/os-release
dpkg-query --show \
  --showformat '${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n' |
  LC_ALL=C sort |
  awk -F '\t' -v image="$1" -v version="$2" -v distro="$ID" -v release="${VERSION_ID:-}" '
    function escaped(text) { gsub(/\+/, "%2B", text); gsub(/:/, "%3A", text); return text }
    BEGIN {
      printf "{\n \"$schema\": \"http://cyclonedx.org/schema/bom-1.6.schema.json\",\n \"bomFormat\": \"CycloneDX\",\n"
      printf " \"specVersion\": \"1.6\",\n \"version\": 1,\n \"metadata\": {\"component\": {\"type\": \"container\", "
      printf "\"name\": \"%s\", \"version\": \"%s\"}},\n \"components\": [", image, version
    }
    $1 == "installed" {
      purl = "pkg:deb/" distro "/" escaped($2) "@" escaped($3) "?arch=" $4 "&distro=" distro "-" release
      if ($5 != $2) purl = purl "&upstream=" escaped($5) ($6 != $3 ? "%40" escaped($6) : "")
      printf "%s\n  {\"type\": \"library\", \"bom-ref\": \"%s\", \"name\": \"%s\", \"version\": \"%s\", \"purl\": \"%s\"}", \
        separator, purl, $2, $3, purl
      separator = ","
    }
    END { printf "\n ]\n}\n" }'
