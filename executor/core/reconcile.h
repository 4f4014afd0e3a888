/*
 * At start: what an earlier process accepted and did not end is lost, and says so.
 * Nothing of it can still run: the launcher ends a connection's sandboxes with the
 * connection. Keys keep their answers.
 */
#pragma once

#include "executor/store/db.h"

/* `done` once, from the loop: rc 0 and how many were lost, or what the store said. */
_must_check_ int reconcile_start(struct db *db, void (*done)(void *arg, int rc, unsigned lost), void *arg);
