/* log.c - see log.h. Any thread; the settings are written once, before there are threads.
 *
 * Both formats share one quoting, that of JSON strings: logfmt readers take it, and one escaper is one place to get right. Beside
 * what JSON demands, it escapes whatever could make a terminal show something else than what was logged: DEL, the C1 controls
 * (0x9B begins an escape sequence) and the characters that reorder or break lines. Bytes that are no UTF-8 become U+FFFD.
 * (Rejected: syslog(3) and sd_journal: a daemon in a pod logs to standard error, and whoever collects that wants lines.)
 */
#include "log.h"

#include "utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* No value takes more of a line than this, quotes aside: a long key from a peer must not push the fields behind it out. */
#define VALUE_BYTES_MAX 768
/* What stands at the end of a line that was cut; always kept free, so a line can be ended properly whatever came before. */
#define TAIL_LOGFMT          " truncated=true\n"
#define TAIL_JSON            ",\"truncated\":true}\n"
#define TAIL_BYTES_MAX       (sizeof TAIL_JSON - 1)
#define TEXT_BYTES_MAX(line) ((line)->capacity - TAIL_BYTES_MAX)
/* The longest that one character becomes: \u and four digits. */
#define ESCAPED_BYTES_MAX 6

static struct {
    enum tvs_log_level lowest;
    enum tvs_log_format format;
    int fd;
} settings = {TVS_LOG_INFO, TVS_LOG_LOGFMT, STDERR_FILENO};

void tvs_log_setup(enum tvs_log_level lowest, enum tvs_log_format format, int fd) {
    settings.lowest = lowest;
    settings.format = format;
    settings.fd = fd;
}

bool tvs_log_enabled(enum tvs_log_level level) {
    return level >= settings.lowest;
}

static const char *level_name(enum tvs_log_level level) {
    static const char *const names[] = {"debug", "info", "warn", "error"};
    return names[level];
}

/* All of it or, where there is no room, nothing. */
static bool append(struct tvs_log_line *line, const char *bytes, size_t count) {
    if (count > TEXT_BYTES_MAX(line) - line->used) {
        line->truncated = true;
        return false;
    }
    memcpy(line->text + line->used, bytes, count);
    line->used += count;
    return true;
}

/* ---- escaping ---- */

/* Decodes the character at `at`, which is not the text's end. Returns how many bytes it takes; *code is U+FFFD for one byte that
 * belongs to no character. */
static size_t decode(const char *at, uint32_t *code) {
    unsigned char lead = (unsigned char)at[0];
    size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (strnlen(at, bytes) < bytes || !tv_utf8_valid(at, bytes)) {
        *code = 0xFFFD;
        return 1;
    }
    static const unsigned char lead_mask[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    *code = lead & lead_mask[bytes];
    for (size_t i = 1; i < bytes; i++)
        *code = *code << 6 | ((unsigned char)at[i] & 0x3F);
    return bytes;
}

static bool must_escape(uint32_t code) {
    bool control = code < 0x20 || (code >= 0x7F && code <= 0x9F);
    bool separator = code == 0x2028 || code == 0x2029;
    /* Marks, embeddings, overrides and isolates of the bidirectional algorithm (UAX #9, section 2), and the byte order mark. */
    bool reorders = code == 0x061C || code == 0x200E || code == 0x200F || (code >= 0x202A && code <= 0x202E) ||
                    (code >= 0x2066 && code <= 0x2069) || code == 0xFEFF;
    return control || separator || reorders;
}

static char short_escape(uint32_t code) {
    switch (code) {
    case '"':
    case '\\':
        return (char)code;
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

/* Writes the character as it stands in a quoted value; returns the number of bytes. */
static size_t escape(uint32_t code, const char *raw, size_t raw_bytes, char out[static ESCAPED_BYTES_MAX + 1]) {
    char letter = short_escape(code);
    if (letter != 0) {
        out[0] = '\\';
        out[1] = letter;
        return 2;
    }
    if (code == 0xFFFD) {
        memcpy(out, "\xEF\xBF\xBD", 3);
        return 3;
    }
    if (must_escape(code))
        return (size_t)snprintf(out, ESCAPED_BYTES_MAX + 1, "\\u%04x", (unsigned)code);
    memcpy(out, raw, raw_bytes);
    return raw_bytes;
}

/* The value between quotes, cut at a character if it is too long. One byte is always left for the closing quote. */
static void append_quoted(struct tvs_log_line *line, const char *value) {
    if (!append(line, "\"", 1))
        return;
    size_t end = TEXT_BYTES_MAX(line) - 1;
    if (line->value_bytes_max < end - line->used)
        end = line->used + line->value_bytes_max;
    while (*value != '\0') {
        uint32_t code;
        char escaped[ESCAPED_BYTES_MAX + 1];
        size_t step = decode(value, &code);
        size_t bytes = escape(code, value, step, escaped);
        if (line->used + bytes > end) {
            line->truncated = true;
            break;
        }
        append(line, escaped, bytes);
        value += step;
    }
    append(line, "\"", 1);
}

/* Whether logfmt can do without quotes. */
static bool is_bare(const char *value, size_t bytes_max) {
    if (*value == '\0')
        return false;
    size_t bytes = 0;
    for (const char *at = value; *at != '\0'; at++, bytes++)
        if (*at <= ' ' || *at == '"' || *at == '=' || *at == '\\' || *at >= 0x7F || bytes >= bytes_max)
            return false;
    return true;
}

/* ---- fields ---- */

/* The separator and the key; false if there isn't room for them and `value_bytes` more: then the field is left out as a whole. */
static bool append_key(struct tvs_log_line *line, const char *key, size_t value_bytes) {
    bool json = settings.format == TVS_LOG_JSON;
    size_t key_bytes = strlen(key);
    if (key_bytes + value_bytes + sizeof ",\"\":" > TEXT_BYTES_MAX(line) - line->used) {
        line->truncated = true;
        return false;
    }
    if (line->used > 0)
        append(line, json ? "," : " ", 1);
    else if (json)
        append(line, "{", 1);
    if (json)
        append(line, "\"", 1);
    append(line, key, key_bytes);
    append(line, json ? "\":" : "=", json ? 2 : 1);
    return true;
}

void tvs_log_text(struct tvs_log_line *line, const char *key, const char *value) {
    if (!line->enabled)
        return;
    /* A bare value that doesn't fit is tried again with quotes, for there it can be cut. */
    if (settings.format == TVS_LOG_LOGFMT && is_bare(value, line->value_bytes_max) && append_key(line, key, strlen(value)))
        append(line, value, strlen(value));
    else if (append_key(line, key, 2 + ESCAPED_BYTES_MAX))
        append_quoted(line, value);
}

void tvs_log_number(struct tvs_log_line *line, const char *key, uint64_t value) {
    if (!line->enabled)
        return;
    char digits[24];
    int count = snprintf(digits, sizeof digits, "%" PRIu64, value);
    if (append_key(line, key, (size_t)count))
        append(line, digits, (size_t)count);
}

void tvs_log_error(struct tvs_log_line *line, const trove_error *error) {
    tvs_log_text(line, "status", trove_status_name(error->status));
    tvs_log_text(line, "error", error->message);
}

/* ---- lines ---- */

static void begin(struct tvs_log_line *line, enum tvs_log_level level, const char *message) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm utc;
    gmtime_r(&now.tv_sec, &utc);
    char seconds[24];
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &utc);
    char stamp[32];
    snprintf(stamp, sizeof stamp, "%s.%03uZ", seconds, (unsigned)now.tv_nsec / 1000000U);
    tvs_log_text(line, "time", stamp);
    tvs_log_text(line, "level", level_name(level));
    tvs_log_text(line, "msg", message);
}

void tvs_log_begin(struct tvs_log_line *line, enum tvs_log_level level, const char *message) {
    line->enabled = tvs_log_enabled(level);
    line->truncated = false;
    line->used = 0;
    line->text = line->own;
    line->capacity = sizeof line->own;
    line->value_bytes_max = VALUE_BYTES_MAX;
    if (line->enabled)
        begin(line, level, message);
}

void tvs_log_begin_record(struct tvs_log_line *line, const char *message, char *text, size_t capacity) {
    *line = (struct tvs_log_line){.enabled = true, .text = text, .capacity = capacity, .value_bytes_max = capacity};
    begin(line, TVS_LOG_INFO, message);
}

/* One write for the whole line, so that lines don't mix; what a full pipe leaves over is sent after. A reader that has gone away
 * or stays behind without blocking us costs its lines, never the server. */
static void write_out(int fd, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t written = write(fd, bytes, count);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        bytes += written;
        count -= (size_t)written;
    }
}

size_t tvs_log_finish(struct tvs_log_line *line) {
    const char *tail = line->truncated ? TAIL_LOGFMT : "\n";
    if (settings.format == TVS_LOG_JSON)
        tail = line->truncated ? TAIL_JSON : "}\n";
    size_t tail_bytes = strlen(tail);
    memcpy(line->text + line->used, tail, tail_bytes);
    return line->used + tail_bytes;
}

void tvs_log_end(struct tvs_log_line *line) {
    if (line->enabled)
        tvs_log_write(line->text, tvs_log_finish(line));
}

void tvs_log_write(const char *text, size_t bytes) {
    write_out(settings.fd, text, bytes);
}
