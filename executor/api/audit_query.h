/* What a request for audit events asks for, and how far it got. */
#pragma once

#include "executor/store/db.h"
#include "executor/store/stmts.h"

struct audit_query;
struct audit_query *audit_query_free(struct audit_query *query);
