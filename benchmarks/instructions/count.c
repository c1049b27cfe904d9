/* A plugin for qemu-user 7.2 (plugin interface 1) that counts the AArch64 instructions a guest executes, by class.
 *
 * The guest marks phases with getpgid(MARK + n); each mark writes a line with the counts since the one before.
 * Argument: out=FILE, which gets the lines.
 *
 * The few functions of the interface that are used are declared here, from its documentation; they are found in the
 * emulator when it loads the plugin, which is built on first use and never distributed. Counters are not atomic: the
 * guest works with one thread.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t plugin_id;
struct block;       /* instructions that are translated together, and run from the first to the last */
struct instruction;
typedef void (*translated)(plugin_id, struct block *);
typedef void (*called)(plugin_id, unsigned vcpu, int64_t number, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                       uint64_t, uint64_t, uint64_t);
enum { ADD_U64 = 0 };

extern size_t qemu_plugin_tb_n_insns(const struct block *);
extern struct instruction *qemu_plugin_tb_get_insn(const struct block *, size_t);
extern const void *qemu_plugin_insn_data(const struct instruction *);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct block *, int operation, void *counter, uint64_t amount);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translated);
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id, called);

int qemu_plugin_version = 1;

#define MARK 0x7e570000u
#define GETPGID 155 /* AArch64 Linux */

#define CLASSES(X) \
    X(fmla) X(fpvec) X(dot) X(mmla) X(imac) X(ipairadd) X(simd_other) X(vload) X(vstore) X(sload) X(sstore) X(branch) \
    X(scalar)
#define AS_ENUM(name) name,
#define AS_TEXT(name) #name,
enum class { CLASSES(AS_ENUM) COUNT };
static const char *const names[COUNT] = {CLASSES(AS_TEXT)};

static uint64_t executed[COUNT], before[COUNT];
static FILE *out;

/* Encodings: Arm Architecture Reference Manual for A-profile, C4.1 "A64 instruction set encoding". */
static int is(uint32_t word, uint32_t mask, uint32_t value) { return (word & mask) == value; }

static enum class load_or_store(uint32_t word)
{
    int vector = word >> 26 & 1, size = word >> 22 & 3, load;
    if (is(word, 0x3a000000, 0x28000000) || (vector && is(word, 0xbe000000, 0x0c000000))) /* pairs; ld1 to ld4 */
        load = word >> 22 & 1;
    else if (is(word, 0x3b000000, 0x18000000)) /* literal */
        load = 1;
    else
        load = size != 0 && !(vector && size == 2);
    if (vector)
        return load ? vload : vstore;
    return load ? sload : sstore;
}

static enum class three_registers(uint32_t word)
{
    if (is(word, 0x9fa0fc00, 0x0e809400) || is(word, 0x9fe0fc00, 0x0e809c00)) /* sdot, udot; usdot */
        return dot;
    if (is(word, 0x9fe0f400, 0x0e80a400)) /* smmla, ummla, usmmla */
        return mmla;
    if (is(word, 0x9f20fc00, 0x0e20cc00)) /* fmla, fmls */
        return fmla;
    if (is(word, 0x9f200c00, 0x0e200000)) { /* widening: smlal, smlsl, smull and the unsigned ones */
        unsigned operation = word >> 12 & 15;
        return operation == 8 || operation == 10 || operation == 12 ? imac : simd_other;
    }
    if (is(word, 0x9f20fc00, 0x0e209400)) /* mla, mls */
        return imac;
    if (is(word, 0x9f3ffc00, 0x0e206800) || is(word, 0x9f3ffc00, 0x0e202800) || is(word, 0x9f20fc00, 0x0e20bc00))
        return ipairadd; /* adalp, addlp; addp */
    return is(word, 0x9f20c400, 0x0e20c400) ? fpvec : simd_other;
}

static enum class by_element(uint32_t word)
{
    unsigned operation = word >> 12 & 15;
    if (word >> 10 & 1 || !(word >> 22 & 3))
        return simd_other;
    switch (operation) {
    case 14: return dot;
    case 1: case 5: return fmla;
    case 0: case 2: case 4: case 6: case 10: return imac;
    case 9: return fpvec;
    default: return simd_other;
    }
}

static enum class class_of(uint32_t word)
{
    if (is(word, 0x0a000000, 0x08000000))
        return load_or_store(word);
    if (is(word, 0x1c000000, 0x14000000))
        return branch;
    if (!is(word, 0x0e000000, 0x0e000000))
        return scalar;
    if (is(word, 0x9f000000, 0x0e000000))
        return three_registers(word);
    return is(word, 0x9f000000, 0x0f000000) ? by_element(word) : simd_other;
}

static void on_translation(plugin_id id, struct block *block)
{
    size_t count = qemu_plugin_tb_n_insns(block);
    uint64_t found[COUNT] = {0};
    (void)id;
    for (size_t i = 0; i < count; i++) {
        uint32_t word;
        memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i)), sizeof word);
        found[class_of(word)]++;
    }
    for (int i = 0; i < COUNT; i++)
        if (found[i])
            qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &executed[i], found[i]);
}

static void on_system_call(plugin_id id, unsigned vcpu, int64_t number, uint64_t first, uint64_t b, uint64_t c,
                           uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    (void)id, (void)vcpu, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number != GETPGID || ((uint32_t)first & 0xffff0000u) != MARK)
        return;
    fprintf(out, "mark=%u", (unsigned)first & 0xffff);
    for (int i = 0; i < COUNT; i++) {
        fprintf(out, " %s=%" PRIu64, names[i], executed[i] - before[i]);
        before[i] = executed[i];
    }
    fputc('\n', out);
    fflush(out);
}

int qemu_plugin_install(plugin_id id, const void *info, int count, char **arguments)
{
    (void)info;
    for (int i = 0; i < count; i++)
        if (!strncmp(arguments[i], "out=", 4))
            out = fopen(arguments[i] + 4, "w");
    if (!out)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
    return 0;
}
