#include "session-agent/last_word.h"

#include <sys/socket.h>
#include <unistd.h>

#include "lib/sbx_list.h"
#include "session-agent/last_word_form.h"
#include "session-agent/sender.h"

/* The status; -EAGAIN: nothing yet; anything else: no word will come. */
static int
word_read(const struct last_word *word)
{
    unsigned char bytes[LAST_WORD_SIZE + 1];
    struct ucred who;
    ssize_t n = sender_receive(word->fd, bytes, sizeof(bytes), &who);

    if (n < 0) {
        return (int)n;
    }
    if (n != LAST_WORD_SIZE || bytes[0] != LAST_WORD_MARK || who.pid != word->from) {
        return -EPROTO;
    }
    return bytes[1];
}

static void
word_on_readable(uv_poll_t *poll, int status, int events _unused_)
{
    struct last_word *word = list_entry(poll, struct last_word, poll);
    int r = status < 0 ? status : word_read(word);

    if (r == -EAGAIN) {
        return;
    }
    (void)uv_poll_stop(poll); /* always 0; the socket stays open, so nobody dies of writing to it */
    if (r >= 0) {
        word->on_word(word->arg, r);
    }
}

int
last_word_expect(int fd)
{
    int on = 1;

    return setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ? -errno : 0;
}

int
last_word_listen(struct last_word *word, uv_loop_t *loop, void *data)
{
    int r = uv_poll_init(loop, &word->poll, word->fd);

    if (r < 0) {
        (void)close(word->fd); /* a socket */
        word->fd = -1;
        return r;
    }
    word->poll.data = data;
    return uv_poll_start(&word->poll, UV_READABLE, word_on_readable);
}

void
last_word_ignore(struct last_word *word)
{
    if (word->fd >= 0) {
        (void)uv_poll_stop(&word->poll); /* always 0 */
    }
}

/* The handle goes first: libuv takes the descriptor's number out of epoll, which must still be ours then. */
void
last_word_close(struct last_word *word, uv_close_cb on_closed)
{
    if (word->fd >= 0) {
        uv_close((uv_handle_t *)&word->poll, on_closed);
        (void)close(word->fd); /* a socket */
        word->fd = -1;
    }
}
