# Session keys: RFC 3711 4.3 key derivation (4.3.3: AES counter mode as the PRF; RFC 6188, RFC 7714 11).

cdef const srtp_kernels *KERNELS

cdef enum:
    LABEL_RTP_CIPHER = 0
    LABEL_RTP_AUTH = 1
    LABEL_RTP_SALT = 2
    LABEL_RTCP_CIPHER = 3
    LABEL_RTCP_AUTH = 4
    LABEL_RTCP_SALT = 5


cdef void derive(
    const srtp_key *master, const uint8_t *salt, size_t salt_len, uint8_t label, uint64_t r, uint8_t *out, size_t length
) noexcept nogil:
    """Keystream of the master key at IV = (salt XOR (label || r)) * 2^16, r = index DIV rate as 48 bits."""
    cdef uint8_t[16] iv
    cdef size_t i
    memset(iv, 0, 16)
    memcpy(iv, salt, salt_len)  # a 96-bit GCM salt is the upper part of the 112-bit one
    iv[7] ^= label
    for i in range(6):
        iv[8 + i] ^= <uint8_t>(r >> (40 - 8 * i))
    KERNELS.keystream(master, iv, out, length)
    wipe(iv, sizeof(iv))


cdef uint32_t make_session_key(
    const srtp_suite *suite, const uint8_t *cipher, const uint8_t *salt, const uint8_t *auth, size_t auth_len
) noexcept nogil:
    """A key record for one of SRTP and SRTCP, or 0 when the arena is full."""
    cdef uint32_t number = arena_take(&STATE.keys)
    cdef srtp_key *key
    if number == 0:
        return 0
    key = key_at(number)
    key.cipher = suite.cipher
    memcpy(key.salt, salt, suite.salt_len)
    KERNELS.set_cipher_key(key, <srtp_cipher>suite.cipher, cipher, suite.key_len)
    if suite.cipher == SRTP_CIPHER_CM:
        KERNELS.set_auth_key(key, auth, auth_len)
    key.live = 1
    return number


cdef uint32_t make_derived_key(const srtp_suite *suite, const uint8_t *key_and_salt, bint rtcp) noexcept nogil:
    """The session keys of a master key at key derivation rate 0, or 0 when the arena is full."""
    cdef srtp_key master
    cdef uint8_t[32] cipher
    cdef uint8_t[16] salt
    cdef uint8_t[SRTP_AUTH_KEY_LEN] auth
    cdef uint32_t number
    cdef uint8_t base = LABEL_RTCP_CIPHER if rtcp else LABEL_RTP_CIPHER
    cdef const uint8_t *master_salt = key_and_salt + suite.key_len
    memset(&master, 0, sizeof(master))
    KERNELS.set_cipher_key(&master, SRTP_CIPHER_CM, key_and_salt, suite.key_len)
    derive(&master, master_salt, suite.salt_len, base, 0, cipher, suite.key_len)
    derive(&master, master_salt, suite.salt_len, base + 1, 0, auth, SRTP_AUTH_KEY_LEN)
    derive(&master, master_salt, suite.salt_len, base + 2, 0, salt, suite.salt_len)
    number = make_session_key(suite, cipher, salt, auth, SRTP_AUTH_KEY_LEN)
    wipe(&master, sizeof(master))
    wipe(cipher, sizeof(cipher))
    wipe(auth, sizeof(auth))
    wipe(salt, sizeof(salt))
    return number


def derive_keys(
    const uint8_t[::1] key not None, const uint8_t[::1] salt not None, uint64_t r, bint rtcp,
    int key_length, int auth_length, int salt_length
):
    """(cipher, salt, auth) of RFC 3711 4.3, r = index DIV key derivation rate. Lengths in octets."""
    if key.shape[0] not in (16, 24, 32) or not 1 <= salt.shape[0] <= 14:
        raise ValueError("a master key has 16, 24 or 32 octets and a master salt at most 14")
    cdef srtp_key master
    cdef uint8_t[256] out
    cdef uint8_t base = LABEL_RTCP_CIPHER if rtcp else LABEL_RTP_CIPHER
    parts = []
    memset(&master, 0, sizeof(master))
    KERNELS.set_cipher_key(&master, SRTP_CIPHER_CM, &key[0], key.shape[0])
    for label, length in ((0, key_length), (2, salt_length), (1, auth_length)):
        if not 0 <= length <= 256:
            raise ValueError("a session key has at most 256 octets")
        derive(&master, &salt[0], salt.shape[0], base + <uint8_t>label, r, out, length)
        parts.append((<char *>out)[:length])
    wipe(&master, sizeof(master))
    wipe(out, sizeof(out))
    return tuple(parts)


def suites():
    """The suite table: (name, cipher, key, salt, SRTP tag, SRTCP tag), lengths in octets."""
    rows = []
    for i in range(SRTP_SUITE_COUNT):
        s = &srtp_suites[i]
        cipher = "AES-GCM" if s.cipher == SRTP_CIPHER_GCM else "AES-CM" if s.encrypts else "NULL"
        rows.append((s.name.decode(), cipher, s.key_len, s.salt_len, s.rtp_tag_len, s.rtcp_tag_len))
    return rows


cdef list tiers():
    cdef const srtp_kernels *k
    cdef size_t i = 0
    rows = []
    while srtp_all_kernels[i] != NULL:
        k = srtp_all_kernels[i]
        rows.append((k.name.decode(), k.needs.decode(), bool(k.available())))
        i += 1
    return rows


def kernel_tiers():
    """[(name, needs, available)], best first, and the name of the tier in use."""
    return tiers(), KERNELS.name.decode()


cdef const srtp_kernels *chosen_kernels(bytes forced) except NULL:
    """The tier for this process, after its known answers: a wrong one refuses to start."""
    cdef const srtp_kernels *kernels = srtp_choose_kernels(forced)
    cdef const char *wrong
    if kernels == NULL:
        names = [name for name, _, _ in tiers()]
        raise ImportError(
            f"SRTPGW_KERNELS={forced.decode(errors='replace')}: not a tier of this build and CPU;"
            f" built in: {', '.join(names)}"
        )
    wrong = srtp_self_test(kernels)
    if wrong != NULL:
        name = kernels.name.decode()
        raise ImportError(f"crypto kernels {name!r} give a wrong answer for {wrong.decode()}: not started")
    return kernels


def self_test(str tier, bint damaged=False):
    """The first known answer that a tier gets wrong, or None. damaged swaps two of its functions, to prove the test."""
    cdef srtp_kernels copy
    cdef const srtp_kernels *kernels = srtp_choose_kernels(tier.encode())
    cdef const char *wrong
    if kernels == NULL:
        raise ValueError(f"no tier {tier!r} here")
    copy = kernels[0]
    if damaged:
        copy.protect_gcm = kernels.unprotect_gcm
    wrong = srtp_self_test(&copy)
    return None if wrong == NULL else wrong.decode()
