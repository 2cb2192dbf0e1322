/* The exact step of a pair in C, as a peer of the compiled loops: the same cipher and keys, the same block layout.
 *
 *     gcc -Ofast -march=native -o pair pair.c -lmvec -lm
 *     ./pair E00 E01 ... E33 L00 ... L33      (32 numbers: propagator and noise root, row by row)
 *
 * Each line read, "normals" or "step", starts one measurement; the answer is the time of one normal or of one
 * trajectory-step in ns, of the processor and by the clock, and the mean square of the first row made (of the first
 * coordinate at the end).
 *
 * Logarithm, sine and cosine are those of glibc's libmvec, several at a time. They stand in loops of their own: where
 * sine and cosine of one angle meet, gcc calls sincos, which it does not vectorise.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STATES = 4, BLOCK = 256, BLOCKS = 4, STEPS = 4000 };
typedef double row[BLOCK] __attribute__((aligned(64)));

/* Two rows of normals: components 2 pair and 2 pair + 1 of BLOCK trajectories at one step. */
static void normals(double *restrict even, double *restrict odd, uint64_t seed, uint64_t trajectory, uint64_t step,
                    uint64_t pair)
{
    row radius, angle;
    const uint64_t low = 0xFFFFFFFF;
    for (int b = 0; b < BLOCK; b++) {
        uint64_t t = trajectory + (uint64_t)b;
        uint64_t c0 = step & low, c1 = t & low, c2 = pair, c3 = (step >> 32 << 16) | (t >> 32 << 8) | 1;
        uint64_t k0 = seed & low, k1 = seed >> 32;
        for (int round = 0; round < 10; round++) {
            uint64_t p0 = (uint64_t)0xD2511F53 * c0, p1 = (uint64_t)0xCD9E8D57 * c2;
            c0 = (p1 >> 32) ^ c1 ^ k0;
            c1 = p1 & low;
            c2 = (p0 >> 32) ^ c3 ^ k1;
            c3 = p0 & low;
            k0 = (k0 + 0x9E3779B9) & low;
            k1 = (k1 + 0xBB67AE85) & low;
        }
        radius[b] = ((double)(int64_t)((c0 >> 5) * 67108864 + (c1 >> 6)) + 1.0) * 0x1p-53;
        angle[b] = (double)(int64_t)((c2 >> 5) * 67108864 + (c3 >> 6)) * (0x1p-52 * M_PI);
    }
    for (int b = 0; b < BLOCK; b++)
        radius[b] = sqrt(-2.0 * log(radius[b]));
    for (int b = 0; b < BLOCK; b++)
        even[b] = radius[b] * cos(angle[b]);
    for (int b = 0; b < BLOCK; b++)
        odd[b] = radius[b] * sin(angle[b]);
}

/* x = E x + L z, all rows in one pass. */
static void advance(double (*restrict x)[BLOCK], double (*restrict z)[BLOCK], const double *restrict e,
                    const double *restrict l)
{
    for (int b = 0; b < BLOCK; b++) {
        double sum[STATES];
        for (int i = 0; i < STATES; i++) {
            sum[i] = 0.0;
            for (int j = 0; j < STATES; j++)
                sum[i] += e[STATES * i + j] * x[j][b] + l[STATES * i + j] * z[j][b];
        }
        for (int i = 0; i < STATES; i++)
            x[i][b] = sum[i];
    }
}

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

int main(int count, char **word)
{
    static row x[STATES], z[STATES];
    double e[STATES * STATES], l[STATES * STATES];
    char line[64];
    if (count != 1 + 2 * STATES * STATES)
        return 2;
    for (int i = 0; i < STATES * STATES; i++) {
        e[i] = atof(word[1 + i]);
        l[i] = atof(word[1 + STATES * STATES + i]);
    }
    while (fgets(line, sizeof line, stdin)) {
        int only_normals = !strncmp(line, "normals", 7);
        double square = 0.0, wall = now(CLOCK_MONOTONIC), processor = now(CLOCK_PROCESS_CPUTIME_ID);
        for (int block = 0; block < BLOCKS; block++) {
            memset(x, 0, sizeof x);
            for (int step = 0; step < STEPS; step++) {
                for (int pair = 0; pair < STATES / 2; pair++)
                    normals(z[2 * pair], z[2 * pair + 1], 1, (uint64_t)(block * BLOCK), (uint64_t)step, (uint64_t)pair);
                if (!only_normals)
                    advance(x, z, e, l);
                else /* so that no normal is left out as unused */
                    __asm__ volatile("" : : "r"(z) : "memory");
            }
            for (int b = 0; b < BLOCK; b++)
                square += only_normals ? z[0][b] * z[0][b] : x[0][b] * x[0][b];
        }
        double units = (double)BLOCKS * BLOCK * STEPS * (only_normals ? STATES : 1);
        processor = now(CLOCK_PROCESS_CPUTIME_ID) - processor;
        wall = now(CLOCK_MONOTONIC) - wall;
        printf("%.6g %.6g %.6g\n", processor / units, wall / units, square / (BLOCKS * BLOCK));
        fflush(stdout);
    }
    return 0;
}
