#include "session-agent/download.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session-agent/request.h"

struct download {
    int fd;
    uint64_t left; /* of the length that was promised */
    char chunk[65536];
};

static int
hex_value(char c)
{
    const char *digits = "0123456789abcdef", *found;

    c = c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : c;
    found = c == '\0' ? NULL : strchr(digits, c);
    return found == NULL ? -1 : (int)(found - digits);
}

/* Decodes once and for all, then checks: nothing behind it decodes again. */
static bool
path_decode(char *out, size_t size, const char *text)
{
    size_t n = 0;

    for (; *text != '\0'; text++) {
        char c = *text;

        if (c == '%') {
            int high = hex_value(text[1]), low = high < 0 ? -1 : hex_value(text[2]);

            if (low < 0) {
                return false;
            }
            c = (char)(high * 16 + low);
            text += 2;
        }
        if (n + 1 >= size) {
            return false;
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return request_path_valid(out, n);
}

static void
download_free(struct download *download)
{
    (void)close(download->fd); /* only read */
    free(download);
}

static void
download_on_abort(struct sbx_http_request *request)
{
    download_free(sbx_http_request_user(request));
}

static void
download_more(struct sbx_http_request *request)
{
    struct download *download = sbx_http_request_user(request);
    size_t want = download->left < sizeof(download->chunk) ? (size_t)download->left : sizeof(download->chunk);
    ssize_t n;

    n = read(download->fd, download->chunk, want);
    if (n > 0) {
        download->left -= (uint64_t)n;
        sbx_http_reply_write(request, download->chunk, (size_t)n);
    }
    /* A file that shrank ends the connection: the length was promised. */
    if (n <= 0 || download->left == 0) {
        download_free(download);
        sbx_http_request_on_abort(request, NULL);
        sbx_http_reply_end(request);
    }
}

static int
download_open(int *ret_fd, struct stat *ret, const struct download_spec *spec)
{
    char path[REQUEST_MAX_PATH + 1];
    int root, r;

    if (!path_decode(path, sizeof(path), spec->path)) {
        return DOWNLOAD_E_NONE;
    }
    r = identity_enter(spec->identity);
    if (r < 0) {
        return r;
    }
    r = workspace_open_root(&root, spec->root);
    if (r == 0) {
        r = workspace_open_file(ret_fd, ret, root, path, INT64_MAX);
        (void)close(root); /* a directory */
    }
    identity_leave(spec->identity);
    return r == -ENOMEM || r == -EMFILE ? r : r != 0 ? DOWNLOAD_E_NONE : 0;
}

int
download_reply(struct sbx_http_request *request, const struct download_spec *spec)
{
    struct download *download;
    struct stat st;
    int fd, r;

    r = download_open(&fd, &st, spec);
    if (r) {
        return r;
    }
    download = malloc(sizeof(*download));
    if (download == NULL) {
        (void)close(fd); /* only read */
        return -ENOMEM;
    }
    download->fd = fd;
    download->left = (uint64_t)st.st_size;

    sbx_http_request_set_user(request, download);
    sbx_http_request_on_abort(request, download_on_abort);
    sbx_http_reply_on_drain(request, download_more);
    sbx_http_reply_start(request, 200, "application/octet-stream", NULL, 0, st.st_size);
    if (download->left == 0 || strcmp(sbx_http_request_method(request), "HEAD") == 0) {
        download_free(download);
        sbx_http_request_on_abort(request, NULL);
        sbx_http_reply_end(request);
    }
    return 0;
}
