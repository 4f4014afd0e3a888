#include "executor/runtime/payload_io.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    N_STREAMS = 3,
    /* A pipe holds at most 1 MiB (fs.pipe-max-size for the unprivileged): more than this is being written
       now. */
    DRAIN_READS = 32,
};

struct stream {
    uv_poll_t poll;
    struct payload_io *io;
    int fd;
    bool open;
};

struct payload_io {
    struct payload_io_spec spec;
    struct stream streams[N_STREAMS];
    size_t written;
    unsigned n_handles; /* that libuv still knows */
    unsigned busy;      /* frames of ours on the stack */
    bool refused;       /* on_output said enough */
    bool closed;
};

static void
io_release(struct payload_io *io)
{
    if (io->closed && io->n_handles == 0 && io->busy == 0) {
        free(io);
    }
}

static void
stream_on_closed(uv_handle_t *handle)
{
    struct stream *stream = handle->data;

    stream->io->n_handles--;
    io_release(stream->io);
}

/* The handle goes first: libuv takes the descriptor's number out of epoll, which must still be ours then. */
static void
stream_close(struct stream *stream)
{
    if (!stream->open) {
        return;
    }
    stream->open = false;
    uv_close((uv_handle_t *)&stream->poll, stream_on_closed);
    close(stream->fd);
}

static void
io_refuse(struct payload_io *io)
{
    io->refused = true;
    stream_close(&io->streams[1]);
    stream_close(&io->streams[2]);
}

/* One piece. False when there is nothing (more) to be had from this stream. */
static bool
stream_read(struct stream *stream)
{
    struct payload_io *io = stream->io;
    int number = (int)(stream - io->streams);
    ssize_t n;

    n = read(stream->fd, io->spec.buffer, PAYLOAD_IO_READ);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (n <= 0) {
        stream_close(stream);
        return false;
    }
    if (!io->spec.on_output(io->spec.arg, number, io->spec.buffer, (size_t)n) && !io->closed) {
        io_refuse(io);
    }
    return stream->open;
}

static void
stream_on_readable(uv_poll_t *poll, int status _unused_, int events _unused_)
{
    struct stream *stream = poll->data;
    struct payload_io *io = stream->io;

    /* An error too is learnt by reading: what the pipe holds comes first. */
    io->busy++;
    (void)stream_read(stream); /* whatever is left keeps the handle ready */
    io->busy--;
    io_release(io);
}

/* True once there is nothing more to write, or nobody to read it. */
static bool
io_write(struct payload_io *io)
{
    const char *input = io->spec.input;

    while (io->written < io->spec.input_len) {
        ssize_t n = write(io->streams[0].fd, input + io->written, io->spec.input_len - io->written);

        if (n < 0) {
            return errno != EAGAIN && errno != EINTR;
        }
        io->written += (size_t)n;
    }
    return true;
}

static void
stream_on_writable(uv_poll_t *poll, int status, int events _unused_)
{
    struct stream *stream = poll->data;

    if (status < 0 || io_write(stream->io)) {
        stream_close(stream);
    }
}

static int
stream_open(struct payload_io *io, unsigned i)
{
    struct stream *stream = &io->streams[i];
    int r;

    stream->io = io;
    stream->fd = io->spec.fds[i];
    r = uv_poll_init(io->spec.loop, &stream->poll, stream->fd); /* makes it non-blocking */
    if (r < 0) {
        return r;
    }
    stream->poll.data = stream;
    stream->open = true;
    io->n_handles++;
    return uv_poll_start(&stream->poll, i == 0 ? UV_WRITABLE : UV_READABLE,
                         i == 0 ? stream_on_writable : stream_on_readable);
}

int
payload_io_new(struct payload_io **ret, const struct payload_io_spec *spec)
{
    struct payload_io *io;
    unsigned first = 0;
    int r = -ENOMEM;

    io = calloc(1, sizeof(*io));
    if (io != NULL) {
        io->spec = *spec;
        r = 0;
    }
    if (spec->fds[0] < 0 || spec->input_len == 0) {
        first = 1; /* its end is all that is to be said, and needs no turn of the loop */
        if (spec->fds[0] >= 0) {
            close(spec->fds[0]);
        }
    }
    for (unsigned i = first; i < N_STREAMS; i++) {
        if (r == 0) {
            r = stream_open(io, i);
        }
        if (io == NULL || !io->streams[i].open) {
            close(spec->fds[i]);
        }
    }
    if (r) {
        (void)payload_io_close(io); /* NULL, always */
        return r;
    }
    *ret = io;
    return 0;
}

void
payload_io_drain(struct payload_io *io)
{
    io->busy++;
    for (unsigned i = 1; i < N_STREAMS; i++) {
        struct stream *stream = &io->streams[i];

        for (unsigned n = 0; n < DRAIN_READS && stream->open; n++) {
            if (!stream_read(stream)) {
                break;
            }
        }
    }
    io->busy--;
    io_release(io);
}

struct payload_io *
payload_io_close(struct payload_io *io)
{
    if (io == NULL) {
        return NULL;
    }
    io->closed = true;
    for (unsigned i = 0; i < N_STREAMS; i++) {
        stream_close(&io->streams[i]);
    }
    io_release(io);
    return NULL;
}
