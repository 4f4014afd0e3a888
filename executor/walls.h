/* Whether executord may work with a launcher that lacks walls: production may not, unless it was told to. */
#pragma once

#include "executor/config.h"
#include "executor/store/db.h"

struct walls {
    const struct config *config;
    struct db *db;
    bool told; /* about `missing` */
    uint64_t missing;
};

/* Logs, once for each answer that differs from the last, and audits what is accepted. `first`: at the start. */
_must_check_ bool walls_judge(struct walls *walls, uint64_t missing, bool first);
