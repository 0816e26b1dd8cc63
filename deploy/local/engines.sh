#!/usr/bin/env bash
# Installs the servers of the cluster engines on one machine without containers: PostgreSQL from the distribution,
# Elasticsearch's core through Maven, MinIO through Go. Silent and fast when nothing is missing. `make up ENGINES=cluster`
# and `make test` run it. Usage: engines.sh [postgres | elasticsearch | s3 | gcs | helm]...
# The default is postgres, elasticsearch and s3. Only tests need gcs and helm.
set -euo pipefail
cd "$(dirname "$0")/../.."

STATE=${BOOKWHEEL_STATE_DIR:-$PWD/.bookwheel}
ENGINES=$PWD/.venv/engines
LOG=$STATE/logs/engines.log
COMMAND_NAME='cluster engines'
ELASTICSEARCH=9.5.0
HELM=v3.19.2
FAKE_GCS=v1.56.1
MINIO=v0.0.0-20260212201848-7aac2a2c5b7c
PATH=$PATH:/usr/sbin:/sbin

. deploy/local/distribution.sh

# PostgreSQL and Elasticsearch refuse to run as root. If root starts them, they run as this system user.
create_server_user() {
  [ "$(id -u)" = 0 ] || return 0
  id bookwheel >/dev/null 2>&1 || run_logged useradd --system --no-create-home --shell /usr/sbin/nologin bookwheel
}

install_postgres() {
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

install_jdk() {
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

install_elasticsearch() {
  local folder=$ENGINES/elasticsearch download
  install_jdk
  if [ "$(cat "$folder/.version" 2>/dev/null)" != "$ELASTICSEARCH" ]; then
    need mvn=maven unzip=unzip
    say "downloading Elasticsearch $ELASTICSEARCH"
    download=$(mktemp -d "$ENGINES/.elasticsearch.XXXXXX")
    run_logged mvn --batch-mode dependency:copy -DoutputDirectory="$download" \
      -Dartifact="org.elasticsearch.distribution.integ-test-zip:elasticsearch:$ELASTICSEARCH:zip"
    run_logged unzip -q "$download/elasticsearch-$ELASTICSEARCH.zip" -d "$download"
    echo "$ELASTICSEARCH" >"$download/elasticsearch-$ELASTICSEARCH/.version"
    chmod -R u+rwX,go+rX "$download/elasticsearch-$ELASTICSEARCH"
    chmod a+x "$download/elasticsearch-$ELASTICSEARCH"/bin/*
    rm -rf "$folder"
    mv "$download/elasticsearch-$ELASTICSEARCH" "$folder"
    rm -rf "$download"
  fi
  ln -sfn "$(find_jdk)" "$ENGINES/jdk"
}

# build_with_go NAME FOLDER PACKAGE VERSION CONSEQUENCE: installs a Go program, unless this version is installed.
build_with_go() {
  local name=$1 folder=$ENGINES/$2 package=$3 version=$4 consequence=$5
  [ "$(cat "$folder/.version" 2>/dev/null)" != "$version" ] || return 0
  if ! command -v go >/dev/null; then
    say "Go is not installed, so $name can't be built: $consequence"
    return
  fi
  say "building $name (two minutes, once)"
  run_logged env GOBIN="$folder" go install "$package@$version"
  echo "$version" >"$folder/.version"
}

install_s3() {
  build_with_go MinIO minio github.com/minio/minio "$MINIO" \
    "tests use a simpler S3 server, and a suite needs the URL of an existing store"
}

install_gcs() {
  build_with_go 'the GCS emulator' fake-gcs-server github.com/fsouza/fake-gcs-server "$FAKE_GCS" 'a lake on GCS is not tested'
}

install_helm() {
  command -v helm >/dev/null ||
    build_with_go Helm helm helm.sh/helm/v3/cmd/helm "$HELM" 'tests use the rendered files of the chart'
}

mkdir -p "$STATE/logs" "$ENGINES"
exec 9>"$STATE/engines.lock" # not the lock of `make install`, which other targets need at the same time
flock 9
create_server_user
[ $# -gt 0 ] || set -- s3 postgres elasticsearch
for engine in "$@"; do
  case $engine in
    postgres | elasticsearch | gcs | helm) "install_$engine" ;;
    s3) install_s3 & build_pid=$! ;; # in the background, while the others are downloaded
    *) fail "unknown engine $engine: use postgres, elasticsearch, s3, gcs or helm" ;;
  esac
done
[ -z "${build_pid:-}" ] || wait "$build_pid"
