/* What a backend of db.h implements, and what all of them share. */
#pragma once

#include "db.h"
#include "db_outbox.h"
#include "db_tx.h"

struct db_ops {
    const char *driver;
    int (*open)(struct db **ret, const struct db_spec *spec, char *error, size_t error_size);
    /* Finishes the queue, delivers what is left through the outbox and frees. */
    void (*close)(struct db *db);
    /* Takes tx, or leaves it and says why. */
    int (*write)(struct db *db, struct db_tx *tx);
    int (*read)(struct db *db, struct db_tx *tx);
    void (*stats)(const struct db *db, struct db_stats *ret);
};

/* First member of every backend. */
struct db {
    const struct db_ops *ops;
    struct db_outbox *outbox;
};

extern const struct db_ops sqlite_ops;
