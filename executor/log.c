#include "executor/log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/sbx_jsonw.h"
#include "lib/sbx_time.h"

#define LOG_LINE_MAX 16384

static const char *const log_level_names[LOG_N_LEVELS] = {
    [LOG_LEVEL_DEBUG] = "debug",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_ERROR] = "error",
};

/* One process, one log: the only state of the executor that is not handed around. */
static struct {
    int fd;
    enum log_level level;
    char *path;
} log_state = { .fd = STDERR_FILENO, .level = LOG_LEVEL_INFO };

bool
log_level_parse(const char *text, enum log_level *ret)
{
    for (unsigned i = 0; i < LOG_N_LEVELS; i++) {
        if (strcmp(text, log_level_names[i]) == 0) {
            *ret = (enum log_level)i;
            return true;
        }
    }
    return false;
}

static int
log_open_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);

    return fd < 0 ? -errno : fd;
}

int
log_open(const char *path, enum log_level level)
{
    char *copy;
    int fd;

    log_state.level = level;
    if (path == NULL || *path == '\0') {
        return 0;
    }

    fd = log_open_file(path);
    if (fd < 0) {
        return fd;
    }
    copy = strdup(path);
    if (copy == NULL) {
        close(fd);
        return -ENOMEM;
    }

    free(log_state.path);
    log_state.path = copy;
    if (log_state.fd != STDERR_FILENO) {
        close(log_state.fd);
    }
    log_state.fd = fd;
    return 0;
}

void
log_reopen(void)
{
    int fd;

    if (log_state.path == NULL) {
        return;
    }
    fd = log_open_file(log_state.path);
    if (fd < 0) {
        log_error("log.reopen_failed", LOG_STR("error", strerror(-fd)));
        return;
    }
    close(log_state.fd);
    log_state.fd = fd;
}

static void
log_write_field(struct sbx_jsonw *w, const struct log_field *field)
{
    if (field->is_number) {
        sbx_jsonw_int(w, field->key, field->number);
    } else if (field->text != NULL) {
        sbx_jsonw_strn(w, field->key, field->text, strnlen(field->text, LOG_FIELD_MAX));
    }
}

void
log_event(enum log_level level, const char *event, const struct log_field *fields, size_t n)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf line = SBX_BUF_INIT(LOG_LINE_MAX);
    struct sbx_jsonw w;
    char ts[SBX_RFC3339_LEN];
    ssize_t written;

    if (level < log_state.level) {
        return;
    }
    sbx_rfc3339(ts, sbx_now_unix_ms());
    sbx_jsonw_init(&w, &line);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "ts", ts);
    sbx_jsonw_str(&w, "level", log_level_names[level]);
    sbx_jsonw_str(&w, "event", event);
    for (size_t i = 0; i < n; i++) {
        log_write_field(&w, &fields[i]);
    }
    sbx_jsonw_object_end(&w);
    sbx_buf_putc(&line, '\n');
    if (line.failed) {
        return;
    }

    do {
        written = write(log_state.fd, line.data, line.len);
    } while (written < 0 && errno == EINTR);
}
