/* A libnvidia-ml.so.1 for machines without a card: answers what the scenario in NVML_STUB_SCENARIO says.
 *
 * Only the calls that engine/nvml.py makes through pynvml exist here; any other one fails there as "Function
 * Not Found", as it would on an old driver. Structures and numbers follow NVIDIA's nvml.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15, VERSION_MISMATCH = 18, NO_DATA = 21
};

#define MIB (1024ULL * 1024ULL)

typedef struct Card {
    const char *name, *uuid;
    unsigned long long total_mib, reserved_mib, used_mib;
    int major, minor;
    int temperature, utilisation;
    int mig;                   /* -1: not supported, 0: off, 1: on */
    int answer_optional;       /* what every optional question returns when not SUCCESS */
    int answer_memory;         /* what the plain memory question returns when not SUCCESS */
    const struct Card *slices; /* ended by an entry without a name */
} Card;

static const Card SLICES[] = {
    {"NVIDIA H100 80GB HBM3 MIG 1g.10gb", "MIG-11111111-aaaa", 9984, 0, 12, 0, 0, 0, 0, -1, SUCCESS, SUCCESS, NULL},
    {"NVIDIA H100 80GB HBM3 MIG 3g.40gb", "MIG-33333333-bbbb", 40448, 0, 5056, 0, 0, 0, 0, -1, SUCCESS, SUCCESS, NULL},
    {NULL},
};
static const Card NO_SLICES[] = {{NULL}};

#define T4 {"Tesla T4", "GPU-74747474-t4t4", 15360, 448, 0, 7, 5, 41, 0, -1, SUCCESS, SUCCESS, NULL}
#define RTX3050 \
    {"NVIDIA GeForce RTX 3050 6GB", "GPU-30503050-3050", 6144, 205, 1024, 8, 6, 55, 37, -1, SUCCESS, SUCCESS, NULL}

static const struct { const char *scenario; Card cards[4]; } WORLDS[] = {
    {"t4", {T4}},
    {"rtx3050-6gb", {RTX3050}},
    {"h100", {{"NVIDIA H100 80GB HBM3", "GPU-00000100-h100", 81559, 554, 0, 9, 0, 33, 0, 0, SUCCESS, SUCCESS, NULL}}},
    {"h100-mig",
     {{"NVIDIA H100 80GB HBM3", "GPU-00000100-h100", 81559, 554, 5068, 9, 0, 33, 0, 1, SUCCESS, SUCCESS, SLICES}}},
    {"h100-mig-empty",
     {{"NVIDIA H100 80GB HBM3", "GPU-00000100-h100", 81559, 554, 0, 9, 0, 33, 0, 1, SUCCESS, SUCCESS, NO_SLICES}}},
    {"two-unequal", {RTX3050, T4}},
    {"mute", {{"NVIDIA Quiet", "GPU-00000000-mute", 8192, 0, 100, 0, 0, 0, 0, 0, NOT_SUPPORTED, SUCCESS, NULL}}},
    {"unknown-error", {{"NVIDIA Odd", "GPU-00000000-odd0", 8192, 0, 100, 0, 0, 0, 0, 0, NO_DATA, SUCCESS, NULL}}},
    {"shared-ram",
     {{"NVIDIA GB10", "GPU-00000010-gb10", 0, 0, 0, 12, 1, 45, 0, -1, NOT_SUPPORTED, NOT_SUPPORTED, NULL}}},
    {"one-lost",
     {{"NVIDIA Lost", "GPU-00000000-lost", 0, 0, 0, 8, 0, 0, 0, -1, GPU_IS_LOST, GPU_IS_LOST, NULL}, T4}},
    {"no-device", {{NULL}}},
    {"mismatch", {{NULL}}},
    {"not-loaded", {{NULL}}},
};

static const char *scenario(void) {
    const char *name = getenv("NVML_STUB_SCENARIO");
    return name ? name : "";
}

static const Card *cards(void) {
    for (size_t i = 0; i < sizeof WORLDS / sizeof WORLDS[0]; i++)
        if (!strcmp(WORLDS[i].scenario, scenario())) return WORLDS[i].cards;
    fprintf(stderr, "nvml_stub: no scenario '%s'\n", scenario());
    abort();
}

int nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    cards();
    if (!strcmp(scenario(), "mismatch")) return VERSION_MISMATCH;
    if (!strcmp(scenario(), "not-loaded")) return DRIVER_NOT_LOADED;
    return SUCCESS;
}

int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int result) { return result == NO_DATA ? "No data" : "Another error"; }

int nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    snprintf(version, length, "580.105.08");
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned int *count) {
    for (*count = 0; cards()[*count].name; ++*count) {}
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, const Card **card) {
    unsigned int count;
    nvmlDeviceGetCount_v2(&count);
    if (index >= count) return INVALID_ARGUMENT;
    *card = &cards()[index];
    return SUCCESS;
}

/* The whole card that a slice is cut from, NULL for any other handle. */
static const Card *whole_of(const Card *slice) {
    for (const Card *card = cards(); card->name; card++)
        for (const Card *one = card->slices; one && one->name; one++)
            if (one == slice) return card;
    return NULL;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, const Card **found) {
    for (const Card *card = cards(); card->name; card++) {
        if (!strcmp(card->uuid, uuid)) return *found = card, SUCCESS;
        for (const Card *one = card->slices; one && one->name; one++)
            if (!strcmp(one->uuid, uuid)) return *found = one, SUCCESS;
    }
    return NOT_FOUND;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(const Card *slice, const Card **card) {
    *card = whole_of(slice);
    return *card ? SUCCESS : INVALID_ARGUMENT;
}

int nvmlDeviceGetPowerUsage(const Card *card, unsigned int *milliwatts) {
    if (card->answer_optional != SUCCESS) return card->answer_optional;
    *milliwatts = 28500;
    return SUCCESS;
}

int nvmlDeviceGetName(const Card *card, char *name, unsigned int length) {
    snprintf(name, length, "%s", card->name);
    return SUCCESS;
}

int nvmlDeviceGetUUID(const Card *card, char *uuid, unsigned int length) {
    snprintf(uuid, length, "%s", card->uuid);
    return SUCCESS;
}

typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } Memory_v2;

int nvmlDeviceGetMemoryInfo(const Card *card, Memory *memory) {
    if (card->answer_memory != SUCCESS) return card->answer_memory;
    memory->total = card->total_mib * MIB;
    memory->used = (card->used_mib + card->reserved_mib) * MIB; /* the older call counts the driver's share as used */
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(const Card *card, Memory_v2 *memory) {
    if (card->answer_optional != SUCCESS) return card->answer_optional;
    if (memory->version != (sizeof(Memory_v2) | 2 << 24)) return INVALID_ARGUMENT;
    memory->total = card->total_mib * MIB;
    memory->reserved = card->reserved_mib * MIB;
    memory->used = card->used_mib * MIB;
    memory->free = memory->total - memory->reserved - memory->used;
    return SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(const Card *card, int *major, int *minor) {
    if (!card->major) return NOT_SUPPORTED;
    *major = card->major;
    *minor = card->minor;
    return SUCCESS;
}

int nvmlDeviceGetTemperature(const Card *card, int sensor, unsigned int *celsius) {
    if (card->answer_optional != SUCCESS) return card->answer_optional;
    if (sensor != 0 || !card->temperature) return NOT_SUPPORTED;
    *celsius = (unsigned int)card->temperature;
    return SUCCESS;
}

typedef struct { unsigned int gpu, memory; } Utilisation;

int nvmlDeviceGetUtilizationRates(const Card *card, Utilisation *rates) {
    if (card->answer_optional != SUCCESS) return card->answer_optional;
    if (card->mig == 1) return NOT_SUPPORTED;
    rates->gpu = (unsigned int)card->utilisation;
    rates->memory = 1;
    return SUCCESS;
}

typedef struct { unsigned int pid; unsigned long long used; unsigned int gpu_instance, compute_instance; } Process;

/* Two processes on a card in use: the caller itself, and one that lives in another container. */
int nvmlDeviceGetComputeRunningProcesses_v3(const Card *card, unsigned int *count, Process *processes) {
    if (card->answer_optional != SUCCESS) return card->answer_optional;
    unsigned int room = *count, running = card->used_mib ? 2 : 0;
    *count = running;
    if (room < running) return INSUFFICIENT_SIZE;
    if (running) {
        processes[0] = (Process){(unsigned int)getpid(), card->used_mib * MIB / 2, 0xFFFFFFFF, 0xFFFFFFFF};
        processes[1] = (Process){2000000000u, ~0ULL, 0xFFFFFFFF, 0xFFFFFFFF};
    }
    return SUCCESS;
}

int nvmlDeviceGetMigMode(const Card *card, unsigned int *current, unsigned int *pending) {
    if (card->answer_optional != SUCCESS) return card->answer_optional;
    if (card->mig < 0) return NOT_SUPPORTED;
    *current = *pending = (unsigned int)card->mig;
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(const Card *card, unsigned int *count) {
    *count = card->slices ? 7 : 0;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(const Card *card, unsigned int index, const Card **slice) {
    unsigned int made = 0;
    while (card->slices[made].name) made++;
    if (index >= made) return NOT_FOUND;
    *slice = &card->slices[index];
    return SUCCESS;
}
