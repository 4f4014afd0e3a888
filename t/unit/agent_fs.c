/* The files of a session as the agent does them: each operation over a real connection, beside its attacks. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/sbx_mux.h"
#include "session-agent/fs.h"
#include "session-agent/fs_walk.h"
#include "t/unit/tap.h"

static char base[] = "/tmp/agent-fs.XXXXXX";
static char workspace[64];
static uv_loop_t loop;
static struct sbx_mux *opener, *taker;
static struct fs *fs;
static const struct identity nobody = { 0 };

struct reply {
    struct sbx_channel *channel;
    bool over;
    int rc;
    char end[65536], note[65536];
    struct sbx_buf data;
    const char *body;
    size_t left;
    bool holds; /* takes no bytes */
};

static void
reply_pump(struct reply *reply)
{
    size_t n;

    while (reply->left > 0 && (n = sbx_channel_write(reply->channel, 0, reply->body, reply->left)) > 0) {
        reply->body += n;
        reply->left -= n;
    }
    if (reply->left == 0 && reply->body != NULL) {
        reply->body = NULL;
        sbx_channel_shut(reply->channel);
    }
}

static void
reply_on_note(void *arg, const char *json, size_t len)
{
    struct reply *reply = arg;

    memcpy(reply->note, json, len);
    reply->note[len] = '\0';
}

static void
reply_on_data(void *arg, unsigned stream, const char *data, size_t len)
{
    struct reply *reply = arg;

    if (stream == 1) {
        sbx_buf_append(&reply->data, data, len);
    }
    if (!reply->holds) {
        sbx_channel_consumed(reply->channel, len);
    }
}

static void
reply_on_end(void *arg, int rc, const char *json, size_t len)
{
    struct reply *reply = arg;

    reply->over = true;
    reply->rc = rc;
    reply->channel = NULL;
    if (json != NULL) {
        memcpy(reply->end, json, len);
        reply->end[len] = '\0';
    }
}

static void
reply_on_writable(void *arg)
{
    reply_pump(arg);
}

static const struct sbx_channel_events reply_events = {
    .on_note = reply_on_note,
    .on_data = reply_on_data,
    .on_writable = reply_on_writable,
    .on_end = reply_on_end,
};

static void
taker_on_open(void *arg, struct sbx_channel *channel, const char *json, size_t len)
{
    struct sbx_field_error err;
    json_t *request = NULL;

    (void)arg;
    if (sbx_json_parse(&request, json, len, &err) != 0) {
        (void)sbx_channel_end(channel, "{}", 2);
        return;
    }
    fs_open(fs, channel, request);
    json_decref(request);
}

static void
on_lost(void *arg, const char *why)
{
    (void)arg;
    diag("lost: %s", why);
}

static void
setup(void)
{
    int pair[2];

    if (mkdtemp(base) == NULL || snprintf(workspace, sizeof(workspace), "%s/w", base) < 0 ||
        mkdir(workspace, 0700) < 0 || chdir(workspace) < 0 || uv_loop_init(&loop) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 ||
        fs_new(&fs, &(struct fs_spec){ .loop = &loop, .identity = &nobody, .workspace = workspace }) < 0 ||
        sbx_mux_new(&opener, &(struct sbx_mux_spec){ .loop = &loop,
                                                     .fd = pair[0],
                                                     .max_channels = 16,
                                                     .max_open = 65536,
                                                     .on_lost = on_lost }) != 0 ||
        sbx_mux_new(&taker, &(struct sbx_mux_spec){ .loop = &loop,
                                                    .fd = pair[1],
                                                    .max_channels = 16,
                                                    .max_open = 65536,
                                                    .on_open = taker_on_open,
                                                    .on_lost = on_lost }) != 0) {
        BAIL_OUT("no set-up");
    }
}

static void
begin(struct reply *reply, const char *json)
{
    sbx_buf_deinit(&reply->data);
    *reply = (struct reply){ .data = SBX_BUF_INIT(64u << 20), .rc = -1 };
    if (sbx_channel_open(&reply->channel, opener, json, strlen(json), &reply_events, reply) != 0) {
        BAIL_OUT("no channel");
    }
}

static void
finish(struct reply *reply)
{
    while (!reply->over) {
        uv_run(&loop, UV_RUN_ONCE);
    }
}

static struct reply last;

static const char *
call(const char *json)
{
    begin(&last, json);
    finish(&last);
    return last.end;
}

static const char *
put(const char *json, const char *body, size_t len)
{
    begin(&last, json);
    last.body = body;
    last.left = len;
    reply_pump(&last);
    finish(&last);
    return last.end;
}

static bool
has(const char *text, const char *part)
{
    if (strstr(text, part) != NULL) {
        return true;
    }
    diag("%s is not in %s", part, text);
    return false;
}

static unsigned
count(const char *dir)
{
    DIR *stream = opendir(dir);
    unsigned n = 0;

    while (stream != NULL && readdir(stream) != NULL) {
        n++;
    }
    if (stream != NULL) {
        closedir(stream);
    }
    return n < 2 ? 0 : n - 2;
}

static void
shell(const char *command)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    if (status != 0) {
        BAIL_OUT("%s", command);
    }
}

static void
check_write(void)
{
    char *big = malloc(3000000);

    ok(has(put("{\"op\":\"fs.write\",\"path\":\"a/b/c.txt\"}", "hello", 5), "\"ok\":true"),
       "a file and its directories");
    ok(has(last.end, "\"size\":5") && has(last.end, "\"etag\":\""), "its size and version are told");
    shell("test \"$(cat a/b/c.txt)\" = hello && chmod 755 a/b/c.txt");
    ok(has(put("{\"op\":\"fs.write\",\"path\":\"a/b/c.txt\"}", "bye", 3), "\"mode\":\"0755\""),
       "another keeps the permissions");
    for (size_t i = 0; i < 3000000; i++) {
        big[i] = (char)(i * 7 + i / 251);
    }
    ok(has(put("{\"op\":\"fs.write\",\"path\":\"big\"}", big, 3000000), "\"size\":3000000"),
       "more than a window");
    call("{\"op\":\"fs.read\",\"path\":\"big\"}");
    ok(last.data.len == 3000000 && memcmp(last.data.data, big, 3000000) == 0, "and out again");
    call("{\"op\":\"fs.read\",\"path\":\"big\",\"offset\":1000,\"length\":70000}");
    ok(last.data.len == 70000 && memcmp(last.data.data, big + 1000, 70000) == 0, "a range of it");
    ok(has(last.note, "\"offset\":1000,\"length\":70000"), "which was announced");
    ok(has(put("{\"op\":\"fs.write\",\"path\":\"big\",\"mode\":\"range\",\"offset\":10,\"total\":3000000}",
               "xyz", 3),
           "\"offset\":13"),
       "a range in");
    ok(has(put("{\"op\":\"fs.write\",\"path\":\"big\",\"mode\":\"range\",\"offset\":3000001}", "x", 1),
           "\"error\":\"invalid\""),
       "none that leaves a hole");
    ok(has(put("{\"op\":\"fs.write\",\"path\":\"big\",\"mode\":\"range\",\"offset\":2,\"total\":5}", "end",
               3),
           "\"size\":5"),
       "the announced end is the end");
    ok(has(put("{\"op\":\"fs.write\",\"path\":\"big\",\"max_bytes\":4}", "12345", 5),
           "\"error\":\"too_large\""),
       "no more than allowed");
    ok(has(put("{\"op\":\"fs.write\",\"path\":\"big\",\"total\":9}", "12345", 5), "\"error\":\"invalid\""),
       "no less than announced");
    ok(has(put("{\"op\":\"fs.write\",\"path\":\"new\",\"if_none_match\":[\"*\"]}", "1", 1), "\"ok\":true"),
       "if there is none");
    ok(has(put("{\"op\":\"fs.write\",\"path\":\"new\",\"if_none_match\":[\"*\"]}", "2", 1),
           "\"error\":\"busy\""),
       "and there is");
    ok(has(put("{\"op\":\"fs.write\",\"path\":\"new\",\"if_match\":[\"1-2-3-4\"]}", "2", 1),
           "\"error\":\"busy\""),
       "another version");
    ok(has(put("{\"op\":\"fs.write\",\"path\":\"a\"}", "2", 1), "\"error\":\"is_a_directory\""),
       "not over a directory");
    ok(has(put("{\"op\":\"fs.write\",\"path\":\"new/x\"}", "2", 1), "\"error\":\"not_a_directory\""),
       "not below a file");
    is_uint(count("."), 3, "and nothing half-made is left");

    begin(&last, "{\"op\":\"fs.write\",\"path\":\"new\"}");
    last.body = big;
    last.left = 3000000;
    reply_pump(&last);
    while (count(".") == 3) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    sbx_channel_reset(last.channel);
    while (count(".") > 3) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    shell("test \"$(cat new)\" = 1");
    pass("an upload that breaks off leaves the old file");
    free(big);
}

static void
check_names(void)
{
    static const char *const bad[] = {
        "..", "../x", "a/../../x", "/etc/passwd", "a//b", "./a", "a/.", "a/b/"
    };
    static const char *const ops[] = { "fs.stat", "fs.read", "fs.write", "fs.mkdir", "fs.remove",
                                       "fs.list", "fs.tar",  "fs.untar", "fs.watch" };
    static const char *const links[] = { "out/passwd", "out", "abs/passwd", "loop/loop/x", "dangling" };
    char json[256];
    unsigned refused = 0, tried = 0;

    for (size_t i = 0; i < SBX_COUNT(bad); i++) {
        for (size_t j = 0; j < SBX_COUNT(ops); j++) {
            snprintf(json, sizeof(json), "{\"op\":\"%s\",\"path\":\"%s\"}", ops[j], bad[i]);
            refused += strstr(put(json, "x", 1), "\"error\":\"invalid\"") != NULL;
            tried++;
        }
        snprintf(json, sizeof(json), "{\"op\":\"fs.move\",\"from\":\"new\",\"to\":\"%s\"}", bad[i]);
        refused += strstr(call(json), "\"error\":\"invalid\"") != NULL;
        tried++;
    }
    is_uint(refused, tried, "no path leads out");
    is_str(call("{\"op\":\"fs.stat\",\"path\":\"a\\u0000b\"}"), "{}", "no NUL, which is no JSON here");
    ok(has(call("{\"op\":\"fs.stat\",\"path\":\"a\",\"more\":1}"), "\"error\":\"invalid\""),
       "no unknown member");
    ok(has(call("{\"op\":\"fs.stat\"}"), "\"error\":\"invalid\""), "no missing one");
    ok(has(call("{\"op\":\"fs.none\",\"path\":\"a\"}"), "\"error\":\"invalid\""), "no unknown operation");
    ok(has(call("{\"op\":\"fs.remove\",\"path\":\"\",\"recursive\":true}"), "\"error\":\"invalid\""),
       "not the workspace itself");

    shell("ln -s /etc out; ln -s /etc abs; ln -s . loop; ln -s /nowhere dangling; mkfifo pipe; echo 1 > one; "
          "ln one two");
    for (size_t i = 0; i < SBX_COUNT(links); i++) {
        snprintf(json, sizeof(json), "{\"op\":\"fs.read\",\"path\":\"%s\"}", links[i]);
        ok(has(call(json), "\"error\":\"denied\""), "no reading through %s", links[i]);
        snprintf(json, sizeof(json), "{\"op\":\"fs.write\",\"mode\":\"range\",\"offset\":0,\"path\":\"%s\"}",
                 links[i]);
        ok(has(put(json, "x", 1), "\"error\":\"denied\""), "no writing through %s", links[i]);
    }
    ok(has(call("{\"op\":\"fs.mkdir\",\"path\":\"out/x\"}"), "\"error\":\"denied\""),
       "no directory through one");
    ok(has(call("{\"op\":\"fs.remove\",\"path\":\"out/passwd\"}"), "\"error\":\"denied\""),
       "no removal through one");
    ok(has(call("{\"op\":\"fs.list\",\"path\":\"out\"}"), "\"error\":\"denied\""), "no list through one");
    ok(has(call("{\"op\":\"fs.move\",\"from\":\"new\",\"to\":\"out/x\"}"), "\"error\":\"denied\""),
       "no move through one");
    ok(has(call("{\"op\":\"fs.stat\",\"path\":\"out\"}"), "\"kind\":\"symlink\""), "but it can be looked at");
    ok(has(call("{\"op\":\"fs.read\",\"path\":\"pipe\"}"), "\"error\":\"denied\""), "a pipe does not block");
    ok(has(put("{\"op\":\"fs.write\",\"mode\":\"range\",\"offset\":0,\"path\":\"pipe\"}", "x", 1),
           "\"error\":\"denied\""),
       "nor the other way");
    ok(has(call("{\"op\":\"fs.read\",\"path\":\"one\"}"), "\"error\":\"denied\""), "no second name");
    ok(has(put("{\"op\":\"fs.write\",\"path\":\"out\"}", "mine", 4), "\"kind\":\"file\""),
       "a whole file replaces a link itself");
    ok(has(put("{\"op\":\"fs.write\",\"path\":\"one\"}", "mine", 4), "\"ok\":true"), "and one of two names");
    shell("test \"$(cat two)\" = 1 && test -d /etc && ! test -L out && rm -rf out abs loop dangling pipe one "
          "two");
}

static void
check_tree(void)
{
    shell("rm -rf * && mkdir -p d/e d/f && touch d/e/1 d/e/2 d.x d/f/3 'd!' && ln -s / d/link");
    call("{\"op\":\"fs.list\",\"path\":\"\",\"recursive\":true}");
    ok(has(last.end, "\"more\":false,\"entries\":9,\"unnamed\":0"), "a whole tree");
    call("{\"op\":\"fs.list\",\"path\":\"d\",\"recursive\":true,\"limit\":3}");
    ok(has(last.end, "\"more\":true,\"entries\":3"), "a page of it");
    ok(has(last.data.data, "\"d/e/2\""), "in order");
    call("{\"op\":\"fs.list\",\"path\":\"d\",\"recursive\":true,\"after\":\"d/e/2\"}");
    ok(has(last.end, "\"more\":false,\"entries\":3"), "and the rest");
    ok(strstr(last.data.data, "d/e") == NULL && has(last.data.data, "\"d/f/3\"") &&
           has(last.data.data, "\"d/link\""),
       "with nothing twice");
    ok(strstr(last.data.data, "d/link/") == NULL, "not through a link");
    call("{\"op\":\"fs.list\",\"path\":\"d\",\"recursive\":true,\"after\":\"d/e\"}");
    ok(has(last.end, "\"entries\":5"), "behind a directory comes what is in it");
    call("{\"op\":\"fs.list\",\"path\":\"\",\"after\":\"gone/by/now\"}");
    ok(has(last.end, "\"entries\":0"), "behind what is not there");
    ok(has(call("{\"op\":\"fs.list\",\"path\":\"d.x\"}"), "not_a_directory"), "a file is no directory");
    ok(fs_path_order("d/a", "d!") < 0 && fs_path_order("d", "d/a") < 0 && fs_path_order("d.x", "d/z") > 0 &&
           fs_path_order("a", "a") == 0,
       "the order of paths is that of their components");
    shell("mkdir many && cd many && seq 1 6000 | xargs touch && touch \"$(printf 'bad\\377')\"");
    call("{\"op\":\"fs.list\",\"path\":\"many\",\"limit\":1000,\"after\":\"many/3000\"}");
    ok(has(last.end, "\"more\":true,\"entries\":1000"), "a crowd of files, page by page");
    ok(has(call("{\"op\":\"fs.list\",\"path\":\"many\",\"after\":\"many/9\"}"), "\"unnamed\":1"),
       "a name without UTF-8 is counted");
    ok(has(call("{\"op\":\"fs.remove\",\"path\":\"d\"}"), "not_empty"),
       "a directory is not removed by accident");
    ok(has(call("{\"op\":\"fs.remove\",\"path\":\"d\",\"recursive\":true}"), "\"removed\":7"), "a tree is");
    ok(has(call("{\"op\":\"fs.remove\",\"path\":\"many\",\"recursive\":true}"), "\"removed\":6002"),
       "a crowd is");
    shell("test -d / && i=0; while [ $i -lt 200 ]; do mkdir -p d/$i; cd d; i=$((i+1)); done");
    ok(has(call("{\"op\":\"fs.remove\",\"path\":\"d\",\"recursive\":true}"), "\"ok\":true"),
       "so is what is nested deep");
    is_int(open("d", O_RDONLY), -1, "all of it");
    ok(has(call("{\"op\":\"fs.remove\",\"path\":\"d\"}"), "not_found"), "once");

    ok(has(call("{\"op\":\"fs.mkdir\",\"path\":\"x/y/z\"}"), "\"kind\":\"directory\""), "directories");
    ok(has(call("{\"op\":\"fs.mkdir\",\"path\":\"x/y\"}"), "\"ok\":true"), "that are there already");
    ok(has(call("{\"op\":\"fs.mkdir\",\"path\":\"d.x\"}"), "\"error\":\"exists\""),
       "but no file in their place");
    ok(has(call("{\"op\":\"fs.move\",\"from\":\"d.x\",\"to\":\"x/q/r\"}"), "\"path\":\"x/q/r\""), "a move");
    ok(has(call("{\"op\":\"fs.move\",\"from\":\"x/q/r\",\"to\":\"d!\"}"), "\"error\":\"exists\""),
       "not over another");
    ok(has(call("{\"op\":\"fs.move\",\"from\":\"x/q/r\",\"to\":\"d!\",\"overwrite\":true}"), "\"ok\":true"),
       "unless asked to");
    ok(has(call("{\"op\":\"fs.move\",\"from\":\"x\",\"to\":\"x/y/w\"}"), "\"error\":\"invalid\""),
       "not into itself");
    ok(has(call("{\"op\":\"fs.move\",\"from\":\"none\",\"to\":\"x/y/w\"}"), "not_found"),
       "not what is not there");
    call("{\"op\":\"fs.glob\",\"patterns\":[\"d*\",\"none\"]}");
    ok(has(last.end, "\"files\":1,\"skipped\":1") && has(last.data.data, "\"does not exist\""), "patterns");
    ok(has(call("{\"op\":\"fs.glob\",\"patterns\":[\"../*\"]}"), "invalid"), "that stay inside");
}

static void
check_tar(void)
{
    struct sbx_buf archive;

    shell("rm -rf * && mkdir -p t/e/empty && printf 12345 > t/a && head -c 100000 /dev/urandom > t/e/b && : "
          "> t/none && ln -s / t/l &&"
          " n=$(printf 'n%.0s' $(seq 1 200)) && mkdir t/$n && echo long > t/$n/$n && cp -a t ../same");
    call("{\"op\":\"fs.tar\",\"path\":\"t\"}");
    ok(has(last.end, "\"entries\":7,\"skipped\":1"), "a directory as an archive");
    archive = last.data;
    last.data = (struct sbx_buf){ 0 };
    ok(has(put("{\"op\":\"fs.untar\",\"path\":\"u\"}", archive.data, archive.len),
           "\"files\":4,\"directories\":3,\"bytes\":100010"),
       "and back");
    shell("rm ../same/l && diff -r u ../same && rm -r ../same");
    {
        FILE *out = fopen("../x.tar", "w");

        if (out == NULL || fwrite(archive.data, 1, archive.len, out) != archive.len || fclose(out) != 0) {
            BAIL_OUT("no archive");
        }
    }
    shell("mkdir v && tar -xf ../x.tar -C v && diff -r u v && rm ../x.tar");
    pass("tar reads it too");
    ok(has(put("{\"op\":\"fs.untar\",\"path\":\"u\"}", archive.data, archive.len - 1024),
           "ends before its end"),
       "cut short");
    ok(has(put("{\"op\":\"fs.untar\",\"path\":\"u\",\"max_files\":3}", archive.data, archive.len),
           "\"error\":\"too_large\""),
       "too many entries");
    ok(has(put("{\"op\":\"fs.untar\",\"path\":\"u\",\"max_bytes\":99999}", archive.data, archive.len),
           "\"error\":\"too_large\""),
       "too many bytes");
    archive.data[0] ^= 1;
    ok(has(put("{\"op\":\"fs.untar\",\"path\":\"u\"}", archive.data, archive.len), "damaged"), "damaged");
    ok(has(put("{\"op\":\"fs.untar\",\"path\":\"u\"}", "", 0), "\"error\":\"invalid\""), "nothing");
    ok(has(call("{\"op\":\"fs.tar\",\"path\":\"t/a\"}"), "not_a_directory"), "a file is no directory");
    shell("ln -s /tmp link");
    ok(has(put("{\"op\":\"fs.untar\",\"path\":\"link\"}", archive.data, archive.len), "\"error\":\"denied\""),
       "not through a link");
    sbx_buf_deinit(&archive);
}

static void
check_watch(void)
{
    struct reply watch = { .over = false };

    shell("rm -rf * && mkdir d && echo 1 > d/a && echo 1 > d/b");
    begin(&watch, "{\"op\":\"fs.watch\",\"path\":\"d\",\"recursive\":true}");
    while (watch.note[0] == '\0') {
        uv_run(&loop, UV_RUN_ONCE);
    }
    ok(has(watch.note, "\"watching\":2"), "a watch begins");
    shell("echo 22 > d/a; mv d/b d/c; mkdir d/e; echo 3 > d/e/f; echo 4 > outside");
    while (watch.data.len == 0 || strstr(watch.data.data, "d/e/f") == NULL) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    ok(has(watch.data.data, "{\"event\":\"modified\",\"path\":\"d/a\",\"kind\":\"file\"}"), "what changes");
    ok(has(watch.data.data, "{\"event\":\"moved\",\"path\":\"d/b\",\"kind\":\"file\",\"to\":\"d/c\"}"),
       "what moves");
    ok(has(watch.data.data, "{\"event\":\"created\",\"path\":\"d/e\",\"kind\":\"directory\"}"),
       "what is made");
    ok(strstr(watch.data.data, "outside") == NULL, "nothing else");
    shell("rm -r d/e");
    while (strstr(watch.data.data, "\"deleted\",\"path\":\"d/e/f\"") == NULL) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    pass("what goes");
    shell("rm -r d");
    finish(&watch);
    ok(has(watch.end, "not_found"), "it ends with its directory");
    sbx_buf_deinit(&watch.data);
}

static void
check_slow(void)
{
    struct reply slow = { .over = false };

    shell("rm -rf * && head -c 5000000 /dev/zero > big && echo 1 > small");
    begin(&slow, "{\"op\":\"fs.read\",\"path\":\"big\"}");
    slow.holds = true;
    ok(has(call("{\"op\":\"fs.read\",\"path\":\"small\"}"), "\"sent\":2"), "a slow reader holds up nobody");
    ok(slow.data.len <= SBX_MUX_WINDOW, "and gets no more than a window");
    shell("truncate -s 1000 big");
    slow.holds = false;
    sbx_channel_consumed(slow.channel, slow.data.len);
    finish(&slow);
    ok(has(slow.end, "\"error\":\"busy\""), "a file that shrinks is told");
    begin(&slow, "{\"op\":\"fs.watch\",\"path\":\"\"}");
    sbx_channel_reset(slow.channel);
    sbx_buf_deinit(&slow.data);
    ok(has(call("{\"op\":\"fs.stat\",\"path\":\"big\",\"x\":1}"), "invalid"), "and the next one is answered");
}

int
main(void)
{
    setup();
    check_write();
    check_names();
    check_tree();
    check_tar();
    check_watch();
    check_slow();
    sbx_buf_deinit(&last.data);
    opener = sbx_mux_close(opener);
    taker = sbx_mux_close(taker);
    fs = fs_close(fs);
    uv_run(&loop, UV_RUN_DEFAULT);
    is_int(uv_loop_close(&loop), 0, "nothing of it stays in the loop");
    shell("rm -rf ../w");
    ok(chdir("/") == 0 && rmdir(base) == 0, "nor in the directory");
    return done_testing();
}
