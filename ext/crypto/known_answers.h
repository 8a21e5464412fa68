/* The answers of srtp_self_test, in hexadecimal. Published ones name their source. The tags of the batches were
 * computed with the Python package `cryptography` (OpenSSL) over the octets that self_test.c lays down. */
#ifndef SRTPGW_KNOWN_ANSWERS_H
#define SRTPGW_KNOWN_ANSWERS_H

#include "crypto.h"

/* FIPS-197: the plaintext block is the counter block, the ciphertext the keystream. SP 800-38A: the output blocks.
 * RFC 3711 B.3 and RFC 6188: key derivation, the counter block is x * 2^16 of RFC 3711 4.3.3. */
static const struct keystream_answer {
    const char *name;
    const char *key;
    const char *iv;
    const char *stream;
} keystream_answers[] = {
    {
        "FIPS-197 C.1",
        "000102030405060708090a0b0c0d0e0f",
        "00112233445566778899aabbccddeeff",
        "69c4e0d86a7b0430d8cdb78070b4c55a",
    },
    {
        "FIPS-197 C.2",
        "000102030405060708090a0b0c0d0e0f1011121314151617",
        "00112233445566778899aabbccddeeff",
        "dda97ca4864cdfe06eaf70a0ec0d7191",
    },
    {
        "FIPS-197 C.3",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "00112233445566778899aabbccddeeff",
        "8ea2b7ca516745bfeafc49904b496089",
    },
    {
        "SP 800-38A F.5.1",
        "2b7e151628aed2a6abf7158809cf4f3c",
        "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        "ec8cdf7398607cb0f2d21675ea9ea1e4362b7c3c6773516318a077d7fc5073ae6a2cc3787889374fbeb4c81b17ba6c44"
        "e89c399ff0f198c6d40a31db156cabfe",
    },
    {
        "SP 800-38A F.5.3",
        "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
        "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        "717d2dc639128334a6167a488ded7921a72eb3bb14a556734b7bad6ab16100c52efeae2d72b722613446dc7f4c2af918"
        "b9e783b30dd7924ff7bc9b97beaa8740",
    },
    {
        "SP 800-38A F.5.5",
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
        "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        "0bdf7df1591716335e9a8b15c860c5025a6e699d536119065433863c8f657b941bc12c9c01610d5d0d8bd6a3378eca62"
        "2956e1c8693536b1bee99c73a31576b6",
    },
    {
        "RFC 3711 B.2, first blocks",
        "2b7e151628aed2a6abf7158809cf4f3c",
        "f0f1f2f3f4f5f6f7f8f9fafbfcfd0000",
        "e03ead0935c95e80e166b16dd92b4eb4d23513162b02d0f72a43a2fe4a5f97ab41e95b3bb0a2e8dd477901e4fca894c0",
    },
    {
        "RFC 3711 B.2, blocks from 65279",
        "2b7e151628aed2a6abf7158809cf4f3c",
        "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        "ec8cdf7398607cb0f2d21675ea9ea1e4362b7c3c6773516318a077d7fc5073ae6a2cc3787889374fbeb4c81b17ba6c44",
    },
    {
        "RFC 6188 7.1, first blocks",
        "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98",
        "f0f1f2f3f4f5f6f7f8f9fafbfcfd0000",
        "92bdd28a93c3f52511c677d08b5515a49da71b2378a854f67050756ded165bac63c4868b7096d88421b563b8c94c9a31",
    },
    {
        "RFC 6188 7.1, blocks from 65279",
        "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98",
        "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        "cea518c90fd91ced9cbb18c078a547113dbc4814f4da5f00a08772b63c6a046d6eb246913062a16891433e97dd01a57f",
    },
    {
        "RFC 6188 7.3, first blocks",
        "eab234764e517b2d3d160d587d8c86219740f65f99b6bcf7",
        "f0f1f2f3f4f5f6f7f8f9fafbfcfd0000",
        "35096cba4610028dc1b57503804ce37c5de986291dcce161d5165ec4568f5c9a474a40c77894bc17180202272a4c264d",
    },
    {
        "RFC 6188 7.3, blocks from 65279",
        "eab234764e517b2d3d160d587d8c86219740f65f99b6bcf7",
        "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        "d108d1a31a00bad6367ec23eb044b415c8f57129fdeb970b59f917b257662d4ca5dab625811034e8cebdfeb6dc158dd3",
    },
    {
        "RFC 3711 B.3, cipher key",
        "e1f97a0d3e018be0d64fa32c06de4139",
        "0ec675ad498afeebb6960b3aabe60000",
        "c61e7a93744f39ee10734afe3ff7a087",
    },
    {
        "RFC 3711 B.3, salt",
        "e1f97a0d3e018be0d64fa32c06de4139",
        "0ec675ad498afee9b6960b3aabe60000",
        "30cbbc08863d8c85d49db34a9ae1",
    },
    {
        "RFC 3711 B.3, auth key",
        "e1f97a0d3e018be0d64fa32c06de4139",
        "0ec675ad498afeeab6960b3aabe60000",
        "cebe321f6ff7716b6fd4ab49af256a156d38baa48f0a0acf3c34e2359e6cdbcee049646c43d9327ad175578ef7227098"
        "6371c10c9a369ac2f94a8c5fbcdddc256d6e919a48b610ef17c2041e474035766b68642c59bbfc2f34db60dbdfb2",
    },
    {
        "RFC 6188 7.2, cipher key",
        "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6",
        "3b04803de51ee7c96423ab5b78d20000",
        "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4",
    },
    {
        "RFC 6188 7.2, salt",
        "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6",
        "3b04803de51ee7cb6423ab5b78d20000",
        "fa31791685ca444a9e07c6c64e93",
    },
    {
        "RFC 6188 7.2, auth key",
        "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6",
        "3b04803de51ee7c86423ab5b78d20000",
        "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05",
    },
    {
        "RFC 6188 7.4, cipher key",
        "73edc66c4fa15776fb57f9505c17136550ffda71f3e8e5f1",
        "c8522f3acd4ce86d5add78edbb110000",
        "31874736a8f1143870c26e4857d8a5b2c4a354407faadabb",
    },
    {
        "RFC 6188 7.4, salt",
        "73edc66c4fa15776fb57f9505c17136550ffda71f3e8e5f1",
        "c8522f3acd4ce86f5add78edbb110000",
        "2372b82d639b6d8503a47adc0a6c",
    },
    {
        "RFC 6188 7.4, auth key",
        "73edc66c4fa15776fb57f9505c17136550ffda71f3e8e5f1",
        "c8522f3acd4ce86c5add78edbb110000",
        "355b10973cd95b9eacf4061c7e1a7151e7cfbfcb",
    },
};

/* plain is data before protection, wire is data, MKI and tag after it. Where nothing is encrypted the cipher key is
 * not used. libsrtp's packets are under the session keys derived from the master key of RFC 3711 B.3. */
static const struct packet_answer {
    const char *name;
    enum srtp_cipher cipher;
    uint8_t clear_len;
    uint8_t cipher_len;
    uint8_t mki_len;
    uint8_t tag_len;
    const char *key;
    const char *auth_key;
    const char *iv;
    const char *trailer;
    const char *plain;
    const char *wire;
} packet_answers[] = {
    {
        .name = "RFC 2202 3, case 1",
        .cipher = SRTP_CIPHER_CM,
        .clear_len = 8,
        .tag_len = 10,
        .key = "00000000000000000000000000000000",
        .auth_key = "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
        .iv = "0000000000000000000000000000",
        .trailer = "",
        .plain = "4869205468657265",
        .wire = "4869205468657265b617318655057264e28b",
    },
    {
        .name = "RFC 2202 3, case 2",
        .cipher = SRTP_CIPHER_CM,
        .clear_len = 28,
        .tag_len = 10,
        .key = "00000000000000000000000000000000",
        .auth_key = "4a656665",
        .iv = "0000000000000000000000000000",
        .trailer = "",
        .plain = "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
        .wire = "7768617420646f2079612077616e7420666f72206e6f7468696e673feffcdf6ae5eb2fa2d274",
    },
    {
        .name = "RFC 2202 3, case 3",
        .cipher = SRTP_CIPHER_CM,
        .clear_len = 50,
        .tag_len = 10,
        .key = "00000000000000000000000000000000",
        .auth_key = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        .iv = "0000000000000000000000000000",
        .trailer = "",
        .plain = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
                 "dddd",
        .wire = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
                "dddd125d7342b9ac11cd91a3",
    },
    {
        .name = "RFC 2202 3, case 4",
        .cipher = SRTP_CIPHER_CM,
        .clear_len = 50,
        .tag_len = 10,
        .key = "00000000000000000000000000000000",
        .auth_key = "0102030405060708090a0b0c0d0e0f10111213141516171819",
        .iv = "0000000000000000000000000000",
        .trailer = "",
        .plain = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
                 "cdcd",
        .wire = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
                "cdcd4c9007f4026250c6bc84",
    },
    {
        .name = "RFC 2202 3, case 5",
        .cipher = SRTP_CIPHER_CM,
        .clear_len = 20,
        .tag_len = 10,
        .key = "00000000000000000000000000000000",
        .auth_key = "0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c",
        .iv = "0000000000000000000000000000",
        .trailer = "",
        .plain = "546573742057697468205472756e636174696f6e",
        .wire = "546573742057697468205472756e636174696f6e4c1a03424b55e07fe7f2",
    },
    {
        .name = "RFC 7714 16, AES-128-GCM SRTP",
        .cipher = SRTP_CIPHER_GCM,
        .clear_len = 12,
        .cipher_len = 38,
        .tag_len = 16,
        .key = "000102030405060708090a0b0c0d0e0f",
        .auth_key = "",
        .iv = "51753c6580c2726f20718414",
        .trailer = "",
        .plain = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e20706172746573207472"
                 "6573",
        .wire = "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf"
                "8833899d7f27beb16a9152cf765ee4390cce",
    },
    {
        .name = "RFC 7714 17, AES-128-GCM SRTCP",
        .cipher = SRTP_CIPHER_GCM,
        .clear_len = 8,
        .cipher_len = 44,
        .tag_len = 16,
        .key = "000102030405060708090a0b0c0d0e0f",
        .auth_key = "",
        .iv = "517524055203726f207170bb",
        .trailer = "800005d4",
        .plain = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeef"
                 "deadbeef",
        .wire = "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded"
                "0bb9275bc84aa45896cf4d2fc5abf87245d9eade",
    },
    {
        .name = "RFC 7714 16, AES-128-GCM SRTP, tag only",
        .cipher = SRTP_CIPHER_GCM,
        .clear_len = 50,
        .tag_len = 16,
        .key = "000102030405060708090a0b0c0d0e0f",
        .auth_key = "",
        .iv = "51753c6580c2726f20718414",
        .trailer = "",
        .plain = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e20706172746573207472"
                 "6573",
        .wire = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e20706172746573207472"
                "657322493f82d2bce397e9d79e3b19aa4216",
    },
    {
        .name = "RFC 7714 17, AES-128-GCM SRTCP, tag only",
        .cipher = SRTP_CIPHER_GCM,
        .clear_len = 52,
        .tag_len = 16,
        .key = "000102030405060708090a0b0c0d0e0f",
        .auth_key = "",
        .iv = "517524055203726f207170bb",
        .trailer = "000005d4",
        .plain = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeef"
                 "deadbeef",
        .wire = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeef"
                "deadbeef841dd9683dd78ec92ae58790125f62b3",
    },
    {
        .name = "RFC 7714 16, AES-256-GCM SRTP",
        .cipher = SRTP_CIPHER_GCM,
        .clear_len = 12,
        .cipher_len = 38,
        .tag_len = 16,
        .key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        .auth_key = "",
        .iv = "51753c6580c2726f20718414",
        .trailer = "",
        .plain = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e20706172746573207472"
                 "6573",
        .wire = "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799"
                "b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
    },
    {
        .name = "RFC 7714 17, AES-256-GCM SRTCP",
        .cipher = SRTP_CIPHER_GCM,
        .clear_len = 8,
        .cipher_len = 44,
        .tag_len = 16,
        .key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        .auth_key = "",
        .iv = "517524055203726f207170bb",
        .trailer = "800005d4",
        .plain = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeef"
                 "deadbeef",
        .wire = "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de047"
                "6f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be",
    },
    {
        .name = "RFC 7714 16, AES-256-GCM SRTP, tag only",
        .cipher = SRTP_CIPHER_GCM,
        .clear_len = 50,
        .tag_len = 16,
        .key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        .auth_key = "",
        .iv = "51753c6580c2726f20718414",
        .trailer = "",
        .plain = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e20706172746573207472"
                 "6573",
        .wire = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e20706172746573207472"
                "6573a866d5910f887463067ceefec45215d4",
    },
    {
        .name = "RFC 7714 17, AES-256-GCM SRTCP, tag only",
        .cipher = SRTP_CIPHER_GCM,
        .clear_len = 52,
        .tag_len = 16,
        .key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        .auth_key = "",
        .iv = "517524055203726f207170bb",
        .trailer = "000005d4",
        .plain = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeef"
                 "deadbeef",
        .wire = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeef"
                "deadbeef91db4afbfeee5a978fab4393ed2615fe",
    },
    {
        .name = "libsrtp 2 srtp_driver.c srtp_validate, SRTP",
        .cipher = SRTP_CIPHER_CM,
        .clear_len = 12,
        .cipher_len = 16,
        .tag_len = 10,
        .key = "c61e7a93744f39ee10734afe3ff7a087",
        .auth_key = "cebe321f6ff7716b6fd4ab49af256a156d38baa4",
        .iv = "30cbbc084cc3363bd49db34a88d5",
        .trailer = "00000000",
        .plain = "800f1234decafbadcafebabeabababababababababababababababab",
        .wire = "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb",
    },
    {
        .name = "libsrtp 2 srtp_driver.c srtp_validate, SRTCP",
        .cipher = SRTP_CIPHER_CM,
        .clear_len = 8,
        .cipher_len = 16,
        .tag_len = 10,
        .key = "4c1aa45a81f73d61c800bbb00fbb1eaa",
        .auth_key = "8d54534feb49ae8e7993a6bd0b844fc323a93dfd",
        .iv = "9581c7ad4d4d5f8ebf3e4454a8b2",
        .trailer = "",
        .plain = "81c8000bcafebabeabababababababababababababababab80000001",
        .wire = "81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798",
    },
    {
        .name = "libsrtp 2 srtp_driver.c srtp_validate_mki, SRTP",
        .cipher = SRTP_CIPHER_CM,
        .clear_len = 12,
        .cipher_len = 16,
        .mki_len = 4,
        .tag_len = 10,
        .key = "c61e7a93744f39ee10734afe3ff7a087",
        .auth_key = "cebe321f6ff7716b6fd4ab49af256a156d38baa4",
        .iv = "30cbbc084cc3363bd49db34a88d5",
        .trailer = "00000000",
        .plain = "800f1234decafbadcafebabeabababababababababababababababab",
        .wire = "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402e1f97a0db78d6acc99ea179b8dbb",
    },
    {
        .name = "libsrtp 2 srtp_driver.c srtp_validate_mki, SRTCP",
        .cipher = SRTP_CIPHER_CM,
        .clear_len = 8,
        .cipher_len = 16,
        .mki_len = 4,
        .tag_len = 10,
        .key = "4c1aa45a81f73d61c800bbb00fbb1eaa",
        .auth_key = "8d54534feb49ae8e7993a6bd0b844fc323a93dfd",
        .iv = "9581c7ad4d4d5f8ebf3e4454a8b2",
        .trailer = "",
        .plain = "81c8000bcafebabeabababababababababababababababab80000001",
        .wire = "81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001e1f97a0d993e08cd54d6c1230798",
    },
};

/* Batches of mixed keys and lengths: every remainder of eight blocks, and each way the SHA-1 padding falls. */
typedef struct batch_answer {
    uint16_t clear_len;
    uint16_t cipher_len;
    uint8_t trailer_len;
    uint8_t tag_len;
    const char *tag;
} batch_answer;

static const batch_answer cm_batch[] = {
    {12, 0, 4, 10, "65fcded7f881df458829"},
    {12, 1, 4, 4, "ec8537ff"},
    {12, 15, 4, 10, "1fffae3b453d049aa0a2"},
    {12, 16, 4, 4, "f46b4853"},
    {12, 17, 4, 10, "dd5c44fbbbab70c5fce5"},
    {8, 24, 0, 10, "36cfbda2b869487cb8e3"},
    {12, 39, 4, 10, "06aa2bd772632488cd92"},
    {12, 40, 4, 10, "cb5a7d93603518bfe06f"},
    {12, 47, 4, 10, "a842947b45e010d0f961"},
    {12, 48, 4, 10, "3938baaf28faa3f62226"},
    {72, 127, 4, 4, "d9a9a59b"},
    {12, 128, 4, 10, "a206934f1c153bff61b7"},
    {12, 129, 4, 0, ""},
    {12, 160, 4, 10, "4cbd2e3e915243dceb09"},
    {12, 240, 4, 4, "c260b0e1"},
    {12, 300, 4, 10, "7a36bb46c74abf318f75"},
};

/* All of three blocks of SHA-1, so that they are hashed side by side */
static const batch_answer cm_even_batch[] = {
    {12, 152, 4, 10, "bac608b9435a5876abec"}, {12, 153, 4, 10, "5ff62115003f8cf081e8"},
    {12, 154, 4, 10, "c7a0a013c016eb44d405"}, {12, 155, 4, 10, "12d0bff6df411b33b12b"},
    {12, 156, 4, 10, "788ef722ab8de5b6f84e"}, {12, 157, 4, 10, "36630cedf26ffc7f6292"},
    {12, 158, 4, 10, "ed2a0514334397b2f928"}, {12, 159, 4, 10, "db20bb6593ce70a0dfc5"},
    {12, 160, 4, 10, "a205ae205e2908cdb670"}, {12, 161, 4, 10, "86fecbdf2a96894733fb"},
    {12, 162, 4, 10, "7453bae15abdc40891f4"}, {12, 163, 4, 10, "db31681c1c85aef95d07"},
    {12, 164, 4, 10, "8b64ba7e343e6166fc8e"}, {12, 165, 4, 10, "d54b2b066a0021c11890"},
    {12, 166, 4, 10, "9f417a845e2188f122dd"}, {12, 167, 4, 10, "428c52a75e3650bd224b"},
};

static const batch_answer gcm_batch[] = {
    {12, 0, 0, 16, "bd383b17320822c26621b09114437922"},   {12, 1, 0, 16, "61713d87642ddcde7871b47f5685376e"},
    {12, 15, 0, 16, "f328ba839d43e2260d9835682bb4fb33"},  {12, 16, 0, 16, "ab2b706946e74892aa35ab3b27c327eb"},
    {16, 17, 0, 16, "3d5d4f5d387dae4ca56c0f506258c6ee"},  {8, 31, 4, 16, "38c8abbcdf6f7cdebdd012eb2b45c0c6"},
    {28, 48, 0, 16, "ac1f2a155d36ad57e19b4c005ae45907"},  {72, 112, 0, 16, "c70dfc8c512ebc7f990a3a1497b90723"},
    {12, 127, 0, 16, "7b60af09ac1b136a0c1f43a847185173"}, {12, 128, 0, 16, "3f9c125d45cc72cbda71c149320361c7"},
    {8, 129, 4, 16, "2985a897395bdec6de0d6fc240b15dab"},  {12, 144, 0, 16, "af4cd6f520c1db84449f61878da6004c"},
    {12, 160, 0, 16, "72b634031214aeb0c53945c7c20e2a78"}, {14, 240, 4, 16, "1700197dc5745c0c276791866a408864"},
    {0, 256, 0, 16, "1432a0d6b1fb9f6a291c13aae71f1b4c"},  {140, 300, 0, 16, "a8355d8e07ad3b7e7f9d4d798fca86ce"},
};

#endif
