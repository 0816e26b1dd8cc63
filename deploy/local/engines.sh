#!/usr/bin/env bash
# Installs the servers of the cluster engines on one machine without containers: PostgreSQL from the distribution,
# Elasticsearch's core through Maven, MinIO through Go. Silent and fast when nothing is missing. `make up ENGINES=cluster`
# and `make test` run it. Arguments: which of postgres elasticsearch s3; all of them by default.
# `gcs` and `helm`, which only tests need, have to be named.
set -euo pipefail
cd "$(dirname "$0")/../.."

STATE=${BOOKWHEEL_STATE_DIR:-$PWD/.bookwheel}
ENGINES=$PWD/.venv/engines
LOG=$STATE/logs/engines.log
VERB='cluster engines'
ELASTICSEARCH=9.5.0
HELM=v3.19.2
FAKE_GCS=v1.56.1
MINIO=v0.0.0-20260212201848-7aac2a2c5b7c
PATH=$PATH:/usr/sbin:/sbin

. deploy/local/distribution.sh

# PostgreSQL and Elasticsearch refuse to run as root; for root they run as this system user.
server_user() {
  [ "$(id -u)" = 0 ] || return 0
  id bookwheel >/dev/null 2>&1 || logged useradd --system --no-create-home --shell /usr/sbin/nologin bookwheel
}

bring_postgres() {
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || need initdb=postgresql
}

find_jdk() {
  local home
  for home in "${ES_JAVA_HOME:-}" "${JAVA_HOME:-}" /usr/lib/jvm/*; do
    if [ -x "$home/bin/java" ] && [ "$("$home/bin/java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')" -ge 21 ]; then
      echo "$home"
      return
    fi
  done
  return 1
}

bring_jdk() {
  local version
  find_jdk >/dev/null && return
  for version in 25 21; do
    if apt-cache show "openjdk-$version-jre-headless" >/dev/null 2>&1; then
      need "java-$version=openjdk-$version-jre-headless"
      find_jdk >/dev/null && return
    fi
  done
  fail 'Elasticsearch needs a JDK of 21 or newer: install one and set ES_JAVA_HOME to its folder'
}

bring_elasticsearch() {
  local folder=$ENGINES/elasticsearch aside
  bring_jdk
  if [ "$(cat "$folder/.version" 2>/dev/null)" != "$ELASTICSEARCH" ]; then
    need mvn=maven unzip=unzip
    say "fetching Elasticsearch $ELASTICSEARCH"
    aside=$(mktemp -d "$ENGINES/.elasticsearch.XXXXXX")
    logged mvn --batch-mode dependency:copy -DoutputDirectory="$aside" \
      -Dartifact="org.elasticsearch.distribution.integ-test-zip:elasticsearch:$ELASTICSEARCH:zip"
    logged unzip -q "$aside/elasticsearch-$ELASTICSEARCH.zip" -d "$aside"
    echo "$ELASTICSEARCH" >"$aside/elasticsearch-$ELASTICSEARCH/.version"
    chmod -R u+rwX,go+rX "$aside/elasticsearch-$ELASTICSEARCH"
    chmod a+x "$aside/elasticsearch-$ELASTICSEARCH"/bin/*
    rm -rf "$folder"
    mv "$aside/elasticsearch-$ELASTICSEARCH" "$folder"
    rm -rf "$aside"
  fi
  ln -sfn "$(find_jdk)" "$ENGINES/jdk"
}

# Without Go, the tests use moto's server, and a suite needs the address of an existing store.
bring_s3() {
  local folder=$ENGINES/minio
  [ "$(cat "$folder/.version" 2>/dev/null)" != "$MINIO" ] || return 0
  if ! command -v go >/dev/null; then
    say 'no Go here, so no MinIO: S3 is tested against a simpler server'
    return
  fi
  say 'building MinIO (two minutes, once)'
  logged env GOBIN="$folder" go install "github.com/minio/minio@$MINIO"
  echo "$MINIO" >"$folder/.version"
}

# An emulator for the tests of a lake on Google Cloud Storage.
bring_gcs() {
  local folder=$ENGINES/fake-gcs-server
  [ "$(cat "$folder/.version" 2>/dev/null)" != "$FAKE_GCS" ] || return 0
  if ! command -v go >/dev/null; then
    say 'no Go here, so no GCS emulator: a lake on GCS is not tested'
    return
  fi
  say 'building the GCS emulator (two minutes, once)'
  logged env GOBIN="$folder" go install "github.com/fsouza/fake-gcs-server@$FAKE_GCS"
  echo "$FAKE_GCS" >"$folder/.version"
}

bring_helm() {
  local folder=$ENGINES/helm
  ! command -v helm >/dev/null && [ "$(cat "$folder/.version" 2>/dev/null)" != "$HELM" ] || return 0
  if ! command -v go >/dev/null; then
    say 'neither Helm nor Go here: the chart is tested as it was rendered'
    return
  fi
  say 'building Helm (two minutes, once)'
  logged env GOBIN="$folder" go install "helm.sh/helm/v3/cmd/helm@$HELM"
  echo "$HELM" >"$folder/.version"
}

mkdir -p "$STATE/logs" "$ENGINES"
exec 9>"$STATE/engines.lock" # not the lock of `make install`: other targets may run meanwhile
flock 9
server_user
[ $# -gt 0 ] || set -- s3 postgres elasticsearch
for engine in "$@"; do
  case $engine in
    postgres | elasticsearch | gcs | helm) "bring_$engine" ;;
    s3) bring_s3 & building=$! ;; # while the others are fetched
    *) fail "$engine: there is no such engine; postgres, elasticsearch, s3, gcs or helm" ;;
  esac
done
[ -z "${building:-}" ] || wait "$building"
