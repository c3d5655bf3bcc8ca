/* A worker of 2008 in C, on Erlang's own library ei: terms are read and written one by one. A value that
 * it echoes as a term is copied byte by byte. */

#include <ei.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char **words;

static void die(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static int read_all(unsigned char *into, size_t length) {
    while (length > 0) {
        ssize_t count = read(3, into, length);
        if (count <= 0) return 0;
        into += count;
        length -= count;
    }
    return 1;
}

static void say(const ei_x_buff *message) {
    unsigned char prefix[4] = {message->index >> 24, message->index >> 16, message->index >> 8,
                               message->index};
    const char *rest = message->buff;
    size_t length = message->index;
    if (write(4, prefix, 4) != 4) die("cannot write");
    while (length > 0) {
        ssize_t count = write(4, rest, length);
        if (count <= 0) die("cannot write");
        rest += count;
        length -= count;
    }
}

/* Leaves a file of that name where the test looks. */
static void note(const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("MARKS"), name);
    FILE *file = fopen(path, "w");
    if (file) fclose(file);
}

static void begin(ei_x_buff *out, const char *word) {
    ei_x_new_with_version(out);
    ei_x_encode_tuple_header(out, 2);
    ei_x_encode_atom(out, word);
}

static void text(ei_x_buff *out, const char *bytes) {
    ei_x_encode_binary(out, bytes, strlen(bytes));
}

/* One method, its arguments in a tuple. */
static void method(ei_x_buff *out, const char *name, int count, const char *arguments[]) {
    ei_x_encode_tuple_header(out, 2);
    ei_x_encode_atom(out, name);
    ei_x_encode_tuple_header(out, count);
    for (int i = 0; i < count; i++) ei_x_encode_atom(out, arguments[i]);
}

static void api(ei_x_buff *out) {
    begin(out, "result");
    ei_x_encode_tuple_header(out, 8);
    method(out, "argv", 0, NULL);
    method(out, "bye", 1, (const char *[]){"value"});
    method(out, "echo", 1, (const char *[]){"value"});
    method(out, "fail", 1, (const char *[]){"message"});
    method(out, "lie", 0, NULL);
    method(out, "print", 1, (const char *[]){"text"});
    method(out, "sum", 3, (const char *[]){"a", "b", "true"});
    method(out, "wait", 1, (const char *[]){"mark"});
}

/* `{<<"tags">>, <<"a">>, <<"b">>}` from `--tags=a,b`. */
static void labels(ei_x_buff *out, const char *key) {
    char option[32];
    const char *names[32];
    int count = 0;
    size_t length = snprintf(option, sizeof option, "--%s=", key);
    for (char **word = words; *word && strcmp(*word, "--") != 0; word++) {
        if (strncmp(*word, option, length) != 0) continue;
        char *copy = strdup(*word + length);
        for (char *name = strtok(copy, ","); name && count < 32; name = strtok(NULL, ","))
            names[count++] = name;
    }
    ei_x_encode_tuple_header(out, count + 1);
    text(out, key);
    for (int i = 0; i < count; i++) text(out, names[i]);
}

static void config(ei_x_buff *out) {
    begin(out, "result");
    ei_x_encode_list_header(out, 5);
    ei_x_encode_tuple_header(out, 2);
    text(out, "kind");
    text(out, "fake");
    labels(out, "tags");
    labels(out, "roles");
    ei_x_encode_tuple_header(out, 2);
    text(out, "grammar");
    ei_x_encode_tuple_header(out, 3);
    for (int i = 1; i <= 3; i++) ei_x_encode_long(out, i);
    ei_x_encode_list_header(out, 2);
    text(out, "chassis");
    text(out, "ei");
    ei_x_encode_empty_list(out);
    ei_x_encode_empty_list(out);
}

/* Text that grows. */
static void put(ei_x_buff *json, const char *bytes, size_t length) {
    ei_x_append_buf(json, bytes, length);
}

static void puts_to(ei_x_buff *json, const char *bytes) { put(json, bytes, strlen(bytes)); }

static void put_text(ei_x_buff *json, const char *bytes, size_t length) {
    puts_to(json, "\"");
    for (size_t i = 0; i < length; i++) {
        char escaped[8];
        if (bytes[i] == '"' || bytes[i] == '\\') {
            snprintf(escaped, sizeof escaped, "\\%c", bytes[i]);
            puts_to(json, escaped);
        } else if ((unsigned char)bytes[i] < 32) {
            snprintf(escaped, sizeof escaped, "\\u%04x", bytes[i]);
            puts_to(json, escaped);
        } else {
            put(json, bytes + i, 1);
        }
    }
    puts_to(json, "\"");
}

/* A big integer in decimal: its digits in base 256 are divided by ten until nothing is left. */
static void put_big(ei_x_buff *json, const char *in, int *at) {
    const unsigned char *bytes = (const unsigned char *)in + *at;
    int length = bytes[1], negative = bytes[2], count = 0;
    unsigned char digits[256];
    char decimal[700];
    memcpy(digits, bytes + 3, length);
    while (length > 0) {
        int rest = 0;
        for (int i = length - 1; i >= 0; i--) {
            int part = rest * 256 + digits[i];
            digits[i] = part / 10;
            rest = part % 10;
        }
        decimal[count++] = '0' + rest;
        while (length > 0 && digits[length - 1] == 0) length--;
    }
    if (negative) puts_to(json, "-");
    while (count > 0) put(json, &decimal[--count], 1);
    ei_skip_term(in, at);
}

/* The value at `at` as JSON. */
static void put_value(ei_x_buff *json, const char *in, int *at) {
    int type, size, arity;
    char word[MAXATOMLEN], number[64];
    if (ei_get_type(in, at, &type, &size) != 0) die("no value");
    if (type == ERL_SMALL_BIG_EXT) {
        put_big(json, in, at);
    } else if (type == ERL_SMALL_INTEGER_EXT || type == ERL_INTEGER_EXT) {
        long long value;
        if (ei_decode_longlong(in, at, &value) != 0) die("no integer");
        snprintf(number, sizeof number, "%lld", value);
        puts_to(json, number);
    } else if (type == ERL_FLOAT_EXT) {
        double value;
        if (ei_decode_double(in, at, &value) != 0) die("no float");
        snprintf(number, sizeof number, "%.17g", value);
        puts_to(json, number);
        if (!strpbrk(number, ".e")) puts_to(json, ".0");
    } else if (type == ERL_BINARY_EXT) {
        char *bytes = malloc(size + 1);
        long length;
        if (ei_decode_binary(in, at, bytes, &length) != 0) die("no binary");
        put_text(json, bytes, length);
        free(bytes);
    } else if (type == ERL_ATOM_EXT) {
        if (ei_decode_atom(in, at, word) != 0) die("no atom");
        puts_to(json, word);
    } else {
        if (ei_decode_tuple_header(in, at, &arity) != 0 || ei_decode_atom(in, at, word) != 0)
            die("expected struct or array");
        int is_struct = strcmp(word, "struct") == 0;
        puts_to(json, is_struct ? "{" : "[");
        ei_get_type(in, at, &type, &size);
        if (type == ERL_STRING_EXT) {
            unsigned char *bytes = malloc(size + 1);
            ei_decode_string(in, at, (char *)bytes);
            for (int i = 0; i < size; i++) {
                snprintf(number, sizeof number, "%s%d", i ? "," : "", bytes[i]);
                puts_to(json, number);
            }
            free(bytes);
        } else {
            if (ei_decode_list_header(in, at, &size) != 0) die("no list");
            for (int i = 0; i < size; i++) {
                if (i) puts_to(json, ",");
                if (is_struct) {
                    ei_decode_tuple_header(in, at, &arity);
                    put_value(json, in, at);
                    puts_to(json, ":");
                }
                put_value(json, in, at);
            }
            if (size) ei_skip_term(in, at);
        }
        puts_to(json, is_struct ? "}" : "]");
    }
}

/* `{Word, {raw, <<Json>>}}`. */
static void answer_json(const char *word, const ei_x_buff *json) {
    ei_x_buff out;
    begin(&out, word);
    ei_x_encode_tuple_header(&out, 2);
    ei_x_encode_atom(&out, "raw");
    ei_x_encode_binary(&out, json->buff, json->index);
    say(&out);
    ei_x_free(&out);
}

static void fail(const char *message, size_t length) {
    static const char trace[] = "\n\nworker.c: fail\nworker.c: call";
    ei_x_buff both, out;
    ei_x_new(&both);
    put(&both, message, length);
    puts_to(&both, trace);
    begin(&out, "error");
    ei_x_encode_binary(&out, both.buff, both.index);
    say(&out);
    ei_x_free(&both);
    ei_x_free(&out);
}

/* The arguments are named in the order of `api`: all begin with their names here. */
static void call(const char *in, int at) {
    int count, arity;
    char name[MAXATOMLEN], form[MAXATOMLEN], key[MAXATOMLEN];
    ei_x_buff out;
    ei_x_new(&out);
    if (ei_decode_list_header(in, &at, &count) != 0 || ei_decode_atom(in, &at, name) != 0 ||
        ei_decode_atom(in, &at, form) != 0)
        die("no call");
    int is_pure = strcmp(form, "pure") == 0, is_last = strcmp(name, "bye") == 0;
    const char *word = is_last ? "last_result" : "result";
    if (strcmp(name, "argv") == 0) {
        puts_to(&out, "[");
        for (char **each = words; *each; each++) {
            if (each != words) puts_to(&out, ",");
            put_text(&out, *each, strlen(*each));
        }
        puts_to(&out, "]");
        answer_json(word, &out);
    } else if (strcmp(name, "sum") == 0) {
        long long sum = 0, value;
        for (int i = 2; i < count; i++) {
            ei_decode_tuple_header(in, &at, &arity);
            ei_decode_atom(in, &at, key);
            if (ei_decode_longlong(in, &at, &value) != 0) return fail("no number", 9);
            sum += value;
        }
        ei_x_free(&out);
        begin(&out, word);
        /* A term where JSON is expected. */
        ei_x_encode_longlong(&out, sum);
        say(&out);
    } else if (strcmp(name, "lie") == 0) {
        puts_to(&out, "no JSON");
        answer_json(word, &out);
    } else if (count != 3) {
        fail("there is no such method", 23);
    } else {
        ei_decode_tuple_header(in, &at, &arity);
        ei_decode_atom(in, &at, key);
        int start = at, type, size;
        ei_get_type(in, &at, &type, &size);
        char *bytes = malloc(size + 1);
        long length = 0;
        if (type == ERL_BINARY_EXT) ei_decode_binary(in, &at, bytes, &length);
        bytes[length] = 0;
        at = start;
        if (strcmp(name, "fail") == 0) {
            fail(bytes, length);
        } else if (strcmp(name, "print") == 0) {
            puts(bytes);
            puts_to(&out, "null");
            answer_json(word, &out);
        } else if (strcmp(name, "wait") == 0) {
            note(bytes);
            for (;;) pause();
        } else if (is_pure) {
            ei_skip_term(in, &at);
            ei_x_free(&out);
            begin(&out, word);
            ei_x_append_buf(&out, in + start, at - start);
            say(&out);
        } else {
            put_value(&out, in, &at);
            answer_json(word, &out);
        }
        free(bytes);
    }
    ei_x_free(&out);
    if (is_last) exit(0);
}

static void serve(const char *in) {
    int at = 0, version, arity;
    char word[MAXATOMLEN];
    ei_x_buff out;
    if (ei_decode_version(in, &at, &version) != 0) die("no term");
    if (ei_decode_tuple_header(in, &at, &arity) == 0) {
        ei_decode_atom(in, &at, word);
        return call(in, at);
    }
    if (ei_decode_atom(in, &at, word) != 0) die("no request");
    if (strcmp(word, "quit") == 0) {
        note(word);
        exit(0);
    } else if (strcmp(word, "ping") == 0) {
        note(word);
        ei_x_new_with_version(&out);
        ei_x_encode_atom(&out, "pong");
    } else if (strcmp(word, "api") == 0) {
        api(&out);
    } else {
        config(&out);
    }
    say(&out);
    ei_x_free(&out);
}

int main(int count, char **arguments) {
    (void)count;
    words = arguments + 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("a stray line on stdout");
    ei_init();
    unsigned char prefix[4];
    while (read_all(prefix, 4)) {
        size_t length = (size_t)prefix[0] << 24 | prefix[1] << 16 | prefix[2] << 8 | prefix[3];
        unsigned char *message = malloc(length);
        if (!message || !read_all(message, length)) die("cut off");
        serve((char *)message);
        free(message);
    }
    return 0;
}
