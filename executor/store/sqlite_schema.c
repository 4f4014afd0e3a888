/* Each migration is one transaction; what was applied is remembered with the hash of its text. */
#include "sqlite_schema.h"

#include <string.h>

#include "db.h"
#include "lib/sbx_crypto.h"
#include "lib/sbx_time.h"
#include "explain.h"
#include "migrations.h"

static int
migration_hash(const struct migration *migration, char hash[SBX_SHA256_HEX])
{
    uint8_t digest[SBX_SHA256_LEN];
    int r;

    r = sbx_sha256(migration->sql, strlen(migration->sql), digest);
    if (r == 0) {
        sbx_hex(hash, digest, sizeof(digest));
    }
    return r;
}

static int
migration_apply(struct sqlite_conn *conn, const struct migration *migration)
{
    char hash[SBX_SHA256_HEX];
    int r;

    r = migration_hash(migration, hash);
    if (r) {
        return r;
    }
    r = sqlite_conn_exec(conn, "begin immediate");
    if (r) {
        return r > 0 ? -EIO : r;
    }

    r = sqlite_conn_exec(conn, migration->sql);
    if (r == 0) {
        const struct db_value values[] = {
            DB_VINT(migration->number),
            DB_VTEXT(migration->name),
            DB_VTEXT(hash),
            DB_VINT(sbx_now_unix_ms()),
        };

        r = sqlite_conn_run(conn, DB_MIGRATION_INSERT, values, SBX_COUNT(values), NULL, NULL);
    }
    if (r == 0) {
        r = sqlite_conn_exec(conn, "commit");
    }
    if (r) {
        sqlite_conn_rollback(conn);
        return r > 0 ? -EIO : r;
    }
    return 0;
}

/* Row i of what was applied must be migration i: numbers have no gaps. */
static int
schema_compare(const struct db_result *applied, char *error, size_t error_size)
{
    char hash[SBX_SHA256_HEX];
    int r;

    if (applied->n_rows > n_migrations) {
        explain(error, error_size,
                "the database has schema %u and this program knows %u: it is older than its data",
                applied->n_rows, n_migrations);
        return -EUCLEAN;
    }
    for (unsigned i = 0; i < applied->n_rows; i++) {
        const struct db_value *number = db_at(applied, i, 0), *text = db_at(applied, i, 2);

        r = migration_hash(&migrations[i], hash);
        if (r) {
            explain(error, error_size, "cannot hash a migration: %s", strerror(-r));
            return r;
        }
        if (number->integer != migrations[i].number || text->type != DB_TEXT ||
            strcmp(text->data, hash) != 0) {
            explain(error, error_size,
                    "migration %u of the database is not the one this program has: "
                    "it belongs to another version",
                    i + 1);
            return -EUCLEAN;
        }
    }
    return 0;
}

int
sqlite_schema_migrate(struct sqlite_conn *conn, char *error, size_t error_size)
{
    _cleanup_(db_rows_deinit) struct db_rows rows = DB_ROWS_INIT;
    struct db_result applied = { 0 };
    int r;

    r = sqlite_conn_exec(conn,
                         "create table if not exists schema_migrations (number integer not null primary key,"
                         " name text not null, sha256 text not null, applied_ms integer not null) strict");
    if (r == 0) {
        r = sqlite_conn_run(conn, DB_MIGRATION_LIST, NULL, 0, &rows, NULL);
    }
    if (r) {
        explain(error, error_size, "cannot read the schema: %s", sqlite_conn_error(conn));
        return r > 0 ? -EIO : r;
    }

    db_rows_seal(&rows, &applied);
    r = schema_compare(&applied, error, error_size);
    if (r) {
        return r;
    }
    for (unsigned i = applied.n_rows; i < n_migrations; i++) {
        r = migration_apply(conn, &migrations[i]);
        if (r) {
            explain(error, error_size, "migration %u (%s) failed: %s", migrations[i].number,
                    migrations[i].name, sqlite_conn_error(conn));
            return r;
        }
    }
    return 0;
}
