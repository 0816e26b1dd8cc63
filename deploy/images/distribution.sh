#!/bin/sh
# Prints the distribution's packages as CycloneDX during the build of an image. NAME and VERSION are those of the image:
# `distribution.sh NAME VERSION`. nginx' base image has no Python, so this is shell and awk. Package names and versions need no
# escaping in JSON (https://www.debian.org/doc/debian-policy/ch-controlfields.html#version); in a purl, two characters do.
set -eu
. /etc/os-release
dpkg-query --show \
  --showformat '${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n' |
  LC_ALL=C sort |
  awk -F '\t' -v image="$1" -v version="$2" -v distro="$ID" -v release="${VERSION_ID:-}" '
    function escape(text) { gsub(/\+/, "%2B", text); gsub(/:/, "%3A", text); return text }
    BEGIN {
      printf "{\n \"$schema\": \"http://cyclonedx.org/schema/bom-1.6.schema.json\",\n \"bomFormat\": \"CycloneDX\",\n"
      printf " \"specVersion\": \"1.6\",\n \"version\": 1,\n \"metadata\": {\"component\": {\"type\": \"container\", "
      printf "\"name\": \"%s\", \"version\": \"%s\"}},\n \"components\": [", image, version
    }
    $1 == "installed" {
      purl = "pkg:deb/" distro "/" escape($2) "@" escape($3) "?arch=" $4 "&distro=" distro "-" release
      if ($5 != $2) purl = purl "&upstream=" escape($5) ($6 != $3 ? "%40" escape($6) : "")
      printf "%s\n  {\"type\": \"library\", \"bom-ref\": \"%s\", \"name\": \"%s\", \"version\": \"%s\", \"purl\": \"%s\"}", \
        separator, purl, $2, $3, purl
      separator = ","
    }
    END { printf "\n ]\n}\n" }'
