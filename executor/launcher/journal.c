#include "executor/launcher/journal.h"

#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "lib/sbx_jsonw.h"

#define JOURNAL_LINE_MAX 4096 /* PIPE_BUF: lines of several writers never mix, POLLOUT promises room */

static const char *const level_names[] = {
    [JOURNAL_DEBUG] = "debug",
    [JOURNAL_INFO] = "info",
    [JOURNAL_WARN] = "warn",
    [JOURNAL_ERROR] = "error",
};

static enum journal_level journal_level = JOURNAL_INFO;
static uint64_t n_dropped;
static struct sbx_buf line = SBX_BUF_INIT(JOURNAL_LINE_MAX);

void
journal_set_level(enum journal_level level)
{
    journal_level = level;
}

_must_check_ bool
journal_level_parse(const char *text, enum journal_level *ret)
{
    for (size_t i = 0; i < SBX_COUNT(level_names); i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *ret = (enum journal_level)i;
            return true;
        }
    }
    return false;
}

static void
journal_stamp(char *ret, size_t size)
{
    struct timespec now;
    struct tm tm;
    size_t len;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    len = strftime(ret, size, "%Y-%m-%dT%H:%M:%S", &tm);
    ret[len++] = '.';
    for (long unit = 100; unit > 0; unit /= 10) {
        ret[len++] = (char)('0' + now.tv_nsec / 1000000 / unit % 10);
    }
    ret[len++] = 'Z';
    ret[len] = '\0';
}

static void
journal_emit(void)
{
    struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };

    if (line.failed || poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT) ||
        write(STDERR_FILENO, line.data, line.len) != (ssize_t)line.len) {
        n_dropped++;
        return;
    }
    n_dropped = 0;
}

void
journal_write(enum journal_level level, const char *event, const struct journal_field *fields)
{
    struct sbx_jsonw w;
    char stamp[40];

    if (level < journal_level) {
        return;
    }

    journal_stamp(stamp, sizeof(stamp));
    sbx_buf_reset(&line);
    sbx_jsonw_init(&w, &line);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "ts", stamp);
    sbx_jsonw_str(&w, "level", level_names[level]);
    sbx_jsonw_str(&w, "component", "launcher");
    sbx_jsonw_str(&w, "event", event);
    for (; fields->key != NULL; fields++) {
        if (fields->text != NULL) {
            sbx_jsonw_str(&w, fields->key, fields->text);
        } else {
            sbx_jsonw_int(&w, fields->key, fields->number);
        }
    }
    if (n_dropped > 0) {
        sbx_jsonw_uint(&w, "lines_dropped", n_dropped);
    }
    sbx_jsonw_object_end(&w);
    sbx_buf_putc(&line, '\n');
    journal_emit();
}
