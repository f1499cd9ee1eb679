#!/bin/sh
# Loads the rules and becomes the audit daemon.
set -eu

mkdir -p /var/log/audit
auditctl -R /etc/audit/audit.rules
exec auditd -n
