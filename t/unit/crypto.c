/* Digests against published vectors, base64 against RFC 4648 and against every second spelling of it. */
#include "lib/sbx_crypto.h"

#include "t/unit/tap.h"

static const char *
hex_of(const uint8_t digest[SBX_SHA256_LEN])
{
    static char text[SBX_SHA256_HEX];

    sbx_hex(text, digest, SBX_SHA256_LEN);
    return text;
}

static void
test_sha256(void)
{
    static const char expected[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    struct sbx_sha256 *state = NULL;
    uint8_t digest[SBX_SHA256_LEN];

    is_int(sbx_sha256("abc", 3, digest), 0, "one call");
    is_str(hex_of(digest), expected, "FIPS 180-2 B.1");
    is_int(sbx_sha256(NULL, 0, digest), 0, "of nothing");
    is_str(hex_of(digest), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
           "the empty digest");

    is_int(sbx_sha256_new(&state), 0, "in pieces");
    is_int(sbx_sha256_update(state, "a", 1) | sbx_sha256_update(state, "", 0) |
               sbx_sha256_update(state, "bc", 2),
           0, "of any length");
    is_int(sbx_sha256_final(state, digest), 0, "the end");
    is_str(hex_of(digest), expected, "the same digest");
    ok(sbx_sha256_free(state) == NULL && sbx_sha256_free(NULL) == NULL, "free takes NULL and returns it");
}

static void
test_hmac(void)
{
    uint8_t mac[SBX_SHA256_LEN];

    is_int(sbx_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac), 0, "a MAC");
    is_str(hex_of(mac), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", "RFC 4231 4.3");
    ok(sbx_equal_const_time(mac, mac, sizeof(mac)), "equal");
    ok(!sbx_equal_const_time("ab", "ac", 2), "not equal");
    ok(sbx_equal_const_time("a", "b", 0), "nothing equals nothing");
}

/* Messages that begin alike: cut anywhere, and several from one beginning. */
static void
test_hmac_heads(struct sbx_hmac *hmac, const uint8_t *bytes, size_t len)
{
    uint8_t whole[SBX_SHA256_LEN], cut[SBX_SHA256_LEN];
    struct sbx_hmac_head *head;
    size_t at, end, wrong = 0;

    for (at = 0; at <= len; at += 13) {
        if (sbx_hmac_head_new(&head, hmac, bytes, at) != 0) {
            BAIL_OUT("no head");
        }
        for (end = at; end <= len; end += 17) {
            wrong += sbx_hmac(hmac, bytes, end, whole) != 0 ||
                     sbx_hmac_after(hmac, head, bytes + at, end - at, cut) != 0 ||
                     memcmp(whole, cut, sizeof(cut)) != 0;
        }
        sbx_hmac_head_free(head);
    }
    is_uint(wrong, 0, "a message in two parts has the MAC of the whole");
    ok(sbx_hmac_head_free(NULL) == NULL, "free takes NULL and returns it");
}

/* A key that is worked in once: the same MACs as with the key each time, in any order and of any length. */
static void
test_hmac_kept(void)
{
    uint8_t bytes[300], key[131], kept[SBX_SHA256_LEN], fresh[SBX_SHA256_LEN];
    struct sbx_hmac *hmac = NULL;
    size_t len, wrong = 0;

    memset(key, 0xaa, sizeof(key));
    is_int(sbx_hmac_new(&hmac, key, sizeof(key)), 0, "a key that is longer than a block");
    is_int(sbx_hmac(hmac, "Test Using Larger Than Block-Size Key - Hash Key First", 54, kept), 0, "a MAC");
    is_str(hex_of(kept), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54", "RFC 4231 4.7");
    for (len = 0; len < sizeof(bytes); len++) {
        bytes[len] = (uint8_t)(len * 7);
        wrong += sbx_hmac(hmac, bytes, len, kept) != 0 ||
                 sbx_hmac_sha256(key, sizeof(key), bytes, len, fresh) != 0 ||
                 memcmp(kept, fresh, sizeof(kept)) != 0;
    }
    is_uint(wrong, 0, "as with the key each time");
    test_hmac_heads(hmac, bytes, sizeof(bytes));
    ok(sbx_hmac_free(hmac) == NULL && sbx_hmac_free(NULL) == NULL, "free takes NULL and returns it");
}

static void
unhex(uint8_t *out, const char *hex)
{
    for (; hex[0] != '\0'; hex += 2) {
        const char digits[3] = { hex[0], hex[1], '\0' };

        *out++ = (uint8_t)strtoul(digits, NULL, 16);
    }
}

/* Test case 16 of "The Galois/Counter Mode of Operation", and everything that is nearly it. */
static void
test_gcm(void)
{
    uint8_t key[SBX_GCM_KEY_LEN], nonce[SBX_GCM_NONCE_LEN], aad[20], data[60], sealed[60], plain[60],
        tag[SBX_GCM_TAG_LEN];
    struct sbx_gcm_message message = {
        .nonce = nonce, .aad = aad, .aad_len = 20, .data = data, .len = 60, .tag = tag
    };
    struct {
        uint8_t *bytes;
        size_t len;
    } parts[] = {
        { nonce, sizeof(nonce) }, { aad, sizeof(aad) }, { data, sizeof(data) }, { tag, sizeof(tag) }
    };
    unsigned passed = 0;
    struct sbx_gcm *gcm;
    char hex[121];

    unhex(key, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
    unhex(nonce, "cafebabefacedbaddecaf888");
    unhex(aad, "feedfacedeadbeeffeedfacedeadbeefabaddad2");
    unhex(plain, "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                 "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
    memcpy(data, plain, sizeof(data));
    is_int(sbx_gcm_new(&gcm, key), 0, "a cipher");
    is_int(sbx_gcm_seal(gcm, &message), 0, "seals");
    sbx_hex(hex, data, sizeof(data));
    is_str(hex,
           "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
           "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
           "as it should");
    sbx_hex(hex, tag, sizeof(tag));
    is_str(hex, "76fc6ece0f4e1768cddf8853bb2d551b", "with its tag");
    memcpy(sealed, data, sizeof(data));
    is_int(sbx_gcm_open(gcm, &message), 0, "opens");
    ok(memcmp(data, plain, sizeof(data)) == 0, "to what it was");
    for (size_t i = 0; i < SBX_COUNT(parts); i++) {
        for (size_t bit = 0; bit < 8 * parts[i].len; bit++) {
            memcpy(data, sealed, sizeof(data));
            parts[i].bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            passed += sbx_gcm_open(gcm, &message) != -EBADMSG;
            if (parts[i].bytes != data) {
                parts[i].bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            }
        }
    }
    is_uint(passed, 0, "no bit of anything may differ");
    memcpy(data, sealed, sizeof(data));
    message.len--;
    is_int(sbx_gcm_open(gcm, &message), -EBADMSG, "nor a byte be missing");
    message.len = 0;
    message.aad_len = 0;
    is_int(sbx_gcm_seal(gcm, &message), 0, "nothing is sealed, too");
    is_int(sbx_gcm_open(gcm, &message), 0, "and opened");
    ok(sbx_gcm_free(gcm) == NULL && sbx_gcm_free(NULL) == NULL, "free takes NULL and returns it");
}

static void
test_random(void)
{
    uint8_t a[300] = { 0 }, b[300] = { 0 };

    is_int(sbx_random(a, sizeof(a)) | sbx_random(b, sizeof(b)), 0, "random bytes");
    ok(memcmp(a, b, sizeof(a)) != 0, "twice are not the same");
    ok(memcmp(a + 256, b + 256, 44) != 0, "past the kernel's 256 byte promise too");
    is_int(sbx_random(a, 0), 0, "none of them");
}

static void
test_rfc4648(void)
{
    static const struct {
        const char *raw, *text;
    } vectors[] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
        { "\xfb\xff", "+/8=" },
    };
    struct sbx_buf buf = SBX_BUF_INIT(100);
    size_t i;

    for (i = 0; i < SBX_COUNT(vectors); i++) {
        sbx_buf_reset(&buf);
        sbx_buf_puts(&buf, "");
        sbx_b64_encode(&buf, vectors[i].raw, strlen(vectors[i].raw));
        is_str(buf.data, vectors[i].text, "encoded");
        sbx_buf_reset(&buf);
        sbx_buf_puts(&buf, "");
        ok(sbx_b64_decode(&buf, vectors[i].text, strlen(vectors[i].text)), "decoded");
        is_str(buf.data, vectors[i].raw, "%s", vectors[i].text);
    }

    sbx_buf_reset(&buf);
    sbx_b64url_encode(&buf, "\xfb\xff\xfe\xff", 4);
    is_str(buf.data, "-__-_w", "the url alphabet, without padding");
    sbx_buf_deinit(&buf);
}

static void
test_refused(void)
{
    static const char *const bad[] = {
        "Zg=",      "Zg",    "Z",     "Z===",     "====",     "=",       "==",      "Zg==Zg==", "Zm9v=",
        "Zm9v====", "Zm 9v", " Zm9v", "Zm9v ",    "Zm9v\n",   "\nZm9",   "Zm9-",    "Zm9_",     "Zm9*",
        "Zh==",     "Zm9=",  "Z=g=",  "Zm9vYg=!", "Zm9vY===", "\x80m9v", "Zm9\xff", "A=AA",     "=AAA",
    };
    static const char *const bad_url[] = {
        "Zg==", "Zm8=", "Z", "Zm9vY", "Zh", "Zm9", "+_8", "-/8", "Zm9v\n", " Zm9", "Zm.v", "Zm9v=",
    };
    struct sbx_buf buf = SBX_BUF_INIT(100);
    size_t i;

    for (i = 0; i < SBX_COUNT(bad); i++) {
        ok(!sbx_b64_decode(&buf, bad[i], strlen(bad[i])), "refused: case %zu", i);
    }
    ok(!sbx_b64_decode(&buf, "Zm9\0", 4), "refused: NUL");
    for (i = 0; i < SBX_COUNT(bad_url); i++) {
        ok(!sbx_b64url_decode(&buf, bad_url[i], strlen(bad_url[i])), "refused in url form: case %zu", i);
    }
    is_uint(buf.len, 0, "nothing of it was written");
    sbx_buf_deinit(&buf);
}

/* Of the 64 last digits only those whose unused bits are zero are the encoding of something. */
static void
test_unused_bits(void)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct sbx_buf buf = SBX_BUF_INIT(1000);
    unsigned i, wrong = 0;

    for (i = 0; i < 64; i++) {
        char one[4] = { 'A', digits[i], '=', '=' }, two[4] = { 'A', 'A', digits[i], '=' };

        wrong += sbx_b64_decode(&buf, one, 4) != (i % 16 == 0);
        wrong += sbx_b64_decode(&buf, two, 4) != (i % 4 == 0);
        wrong += i < 62 && sbx_b64url_decode(&buf, one, 2) != (i % 16 == 0);
        wrong += i < 62 && sbx_b64url_decode(&buf, two, 3) != (i % 4 == 0);
    }
    is_uint(wrong, 0, "unused bits must be zero");
    sbx_buf_deinit(&buf);
}

/* Lengths around the size of a turn, and texts that have exactly one spelling. */
static void
test_round_trip(void)
{
    struct sbx_buf text = SBX_BUF_INIT(1 << 16), raw = SBX_BUF_INIT(1 << 16), again = SBX_BUF_INIT(1 << 16);
    static uint8_t bytes[2000];
    size_t len, wrong = 0;

    is_int(sbx_random(bytes, sizeof(bytes)), 0, "random bytes");
    for (len = 0; len <= sizeof(bytes); len += len < 20 || (len > 750 && len < 790) ? 1 : 37) {
        sbx_buf_reset(&text);
        sbx_buf_reset(&raw);
        sbx_b64_encode(&text, bytes, len);
        wrong += !sbx_b64_decode(&raw, text.data, text.len) || raw.len != len ||
                 (len > 0 && memcmp(raw.data, bytes, len) != 0);

        sbx_buf_reset(&again);
        sbx_buf_reset(&raw);
        sbx_b64url_encode(&again, bytes, len);
        wrong += !sbx_b64url_decode(&raw, again.data, again.len) || raw.len != len ||
                 (len > 0 && memcmp(raw.data, bytes, len) != 0);
    }
    is_uint(wrong, 0, "what was encoded decodes to itself");

    raw.max = 10;
    sbx_buf_deinit(&raw);
    ok(!sbx_b64_decode(&raw, text.data, text.len), "a result past the buffer's maximum fails");
    sbx_buf_deinit(&raw);
    sbx_buf_deinit(&text);
    sbx_buf_deinit(&again);
}

int
main(void)
{
    test_sha256();
    test_hmac();
    test_hmac_kept();
    test_gcm();
    test_random();
    test_rfc4648();
    test_refused();
    test_unused_bits();
    test_round_trip();
    return done_testing();
}
