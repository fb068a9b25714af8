#!/bin/sh
# Join six Redis nodes that run with cluster.conf to a cluster: the first three become masters, each of the others the
# replica of one on another host.
#
#     export REDIS_USER=operator REDISCLI_AUTH=…      with users (deploy/make_secrets.sh)
#     deploy/redis/cluster.sh 10.0.0.11:6379 … 10.0.0.16:6379
#
# Run again it does nothing: nodes that know each other already are left alone.
set -eu
[ $# -eq 6 ] || { echo "six nodes, please: HOST:PORT …" >&2; exit 2; }
ask() { redis-cli ${REDIS_USER:+--user "$REDIS_USER"} "$@"; }

if ask -h "${1%:*}" -p "${1##*:}" cluster info | grep -q '^cluster_known_nodes:6'; then
    echo "they are a cluster already"
else
    ask --cluster create "$@" --cluster-replicas 1 --cluster-yes
fi
ask --cluster check "$1"
