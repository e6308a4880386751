#!/bin/sh
# Contex takes its passwords from the environment only. It ends where Redis does not answer, so it waits for a master.
set -u
auth=/etc/contex-redis/auth
until [ -s "$auth/password" ] && [ -s "$auth/sentinel-password" ] && [ -e "$auth/bootstrapped" ]; do sleep 0.2; done
REDIS_PASSWORD=$(cat "$auth/password")
REDIS_SENTINEL_PASSWORD=$(cat "$auth/sentinel-password")
export REDIS_PASSWORD REDIS_SENTINEL_PASSWORD
exec python main.py
