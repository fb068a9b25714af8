#!/bin/sh
# Join six Redis nodes that run with cluster.conf to a cluster: the first three become masters, each of the others the
# replica of one on another host.
#
#     REDISCLI_AUTH=$(cat deploy/secrets/redis-password) deploy/redis/cluster.sh 10.0.0.11:6379 … 10.0.0.16:6379
#
# Run again it does nothing: nodes that know each other already are left alone.
set -eu
[ $# -eq 6 ] || { echo "six nodes, please: HOST:PORT …" >&2; exit 2; }
host=${1%:*}
port=${1##*:}
if redis-cli -h "$host" -p "$port" cluster info | grep -q '^cluster_known_nodes:6'; then
    echo "they are a cluster already"
else
    redis-cli --cluster create "$@" --cluster-replicas 1 --cluster-yes
fi
redis-cli --cluster check "$1"
