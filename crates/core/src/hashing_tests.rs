use proptest::prelude::*;

use super::*;

const MIB: u64 = 1024 * 1024;
const ALL: [Option<DigestAlgorithm>; 3] = [None, Some(DigestAlgorithm::Blake3), Some(DigestAlgorithm::Sha256)];

/// Bytes that differ from place to place, cheaply.
fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        out.extend_from_slice(&(state >> 17).to_le_bytes());
    }
    out.truncate(len);
    out
}

/// Hashes the parts in the order of `rank`, each in steps of `step` bytes.
fn parted(
    bytes: &[u8],
    plan: &PartPlan,
    algorithm: Option<DigestAlgorithm>,
    step: usize,
    rank: impl Fn(u32) -> u64,
) -> Hashes {
    let mut numbers: Vec<u32> = (1..=plan.count()).collect();
    numbers.sort_by_key(|number| rank(*number));
    let mut in_order = algorithm.filter(|_| !any_order(algorithm, plan)).map(DigestHasher::new);
    if let Some(hasher) = &mut in_order {
        hasher.update(bytes);
    }
    let parts = numbers.into_iter().map(|number| {
        let range = plan.range(number);
        let mut hasher = PartHasher::new(algorithm, plan, number);
        for piece in bytes[range.start as usize..range.end as usize].chunks(step) {
            hasher.update(piece);
        }
        hasher.finish()
    });
    join(plan, parts, in_order.map(|hasher| hasher.finish())).unwrap()
}

fn shuffled(seed: u64) -> impl Fn(u32) -> u64 {
    move |number| (u64::from(number) ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
}

/// Every border: no byte, one byte, a part's end and a byte on either side of it, the threshold likewise, a short last part,
/// numbers of parts that are no powers of two.
#[test]
fn parts_in_any_order_equal_hashing_at_once_at_every_border() {
    let (part, threshold) = (64 * 1024u64, 4 * 64 * 1024u64);
    let mut lens: Vec<u64> = vec![0, 1, 2, 1023, 1024, 1025];
    for count in [1, 2, 3, 5, 6, 7, 9] {
        lens.extend([count * part - 1, count * part, count * part + 1, count * part + 1024]);
    }
    lens.extend([threshold - 1, threshold, threshold + 1]);
    for len in lens {
        let bytes = bytes(len as usize, len);
        let plan = PartPlan::new(len, part, 1, MIB, 10_000).unwrap();
        assert_eq!(plan.part_size(), part);
        for algorithm in ALL {
            let expected = Hashes::of(&bytes, algorithm);
            for seed in 0..3 {
                assert_eq!(parted(&bytes, &plan, algorithm, 10_000, shuffled(seed)), expected, "{len} {algorithm:?}");
            }
        }
    }
}

#[test]
fn the_sizes_of_real_parts_are_subtrees() {
    for (len, wanted) in [(20 * MIB, 8 * MIB), (33 * MIB, 8 * MIB), (17 * MIB + 5, 5 * MIB), (9 * MIB, MIB)] {
        let bytes = bytes(len as usize, 3);
        let plan = PartPlan::new(len, wanted, 5 * MIB, 5120 * MIB, 10_000).unwrap();
        assert!(any_order(Some(DigestAlgorithm::Blake3), &plan));
        let algorithm = Some(DigestAlgorithm::Blake3);
        assert_eq!(parted(&bytes, &plan, algorithm, 1 << 20, shuffled(9)), Hashes::of(&bytes, algorithm));
    }
}

#[test]
fn parts_that_are_no_subtrees_are_said_to_be_none() {
    // One size only is allowed, and it is no power of two; or one that is smaller than a chunk.
    for (len, part) in [(100_000, 5000), (3000, 512)] {
        let plan = PartPlan::new(len, part, part, part, 10_000).unwrap();
        let bytes = bytes(len as usize, 1);
        assert!(!any_order(Some(DigestAlgorithm::Blake3), &plan));
        assert!(any_order(None, &plan));
        for algorithm in ALL {
            assert_eq!(parted(&bytes, &plan, algorithm, 999, shuffled(1)), Hashes::of(&bytes, algorithm));
        }
    }
}

#[test]
fn parts_that_are_missing_doubled_or_of_another_length_are_refused() {
    let bytes = bytes(10_000, 5);
    let plan = PartPlan::new(10_000, 4096, 1, MIB, 100).unwrap();
    let algorithm = Some(DigestAlgorithm::Blake3);
    let part = |number: u32, len: usize| {
        let mut hasher = PartHasher::new(algorithm, &plan, number);
        hasher.update(&bytes[..len]);
        hasher.finish()
    };
    let whole = [part(1, 4096), part(2, 4096), part(3, 1808)];
    assert!(join(&plan, whole.clone(), None).is_ok());
    let error = |parts: Vec<PartHash>| join(&plan, parts, None).unwrap_err();
    let [one, two, three] = whole;
    assert_eq!(error(vec![one.clone(), three.clone()]).number, 2);
    assert_eq!(error(vec![one.clone(), two.clone(), two.clone(), three.clone()]).number, 3);
    assert_eq!(error(vec![one.clone(), two.clone(), three.clone(), three.clone()]).number, 3);
    assert_eq!(error(Vec::new()), PartHashError { number: 1, count: 3, expected: 4096, found: 0 });
    // Too few bytes, none at all, and too many: an error, and no panic in the tree.
    for (number, len, found) in [(2, 4095, 4095), (2, 0, 0), (2, 4097, 4097), (3, 1809, 1809)] {
        let mut parts = vec![one.clone(), two.clone(), three.clone()];
        parts[number as usize - 1] = part(number, len);
        let error = error(parts);
        assert_eq!((error.number, error.found), (number, found));
        assert!(error.to_string().contains("bytes, not"), "{error}");
    }
}

proptest! {
    #[test]
    fn any_file_in_any_parts_in_any_order(
        len in prop_oneof![0usize..5000, 0usize..300_000],
        power in 10u32..18,
        step in 1usize..70_000,
        seed: u64,
        at in 0usize..3,
        odd in prop::option::of(1000u64..70_000),
    ) {
        let algorithm = ALL[at];
        let (min, max) = odd.map_or((1, 1 << 20), |odd| (odd, odd));
        let plan = PartPlan::new(len as u64, 1 << power, min, max, 10_000).unwrap();
        let bytes = bytes(len, seed);
        prop_assert_eq!(parted(&bytes, &plan, algorithm, step.max(16), shuffled(seed)), Hashes::of(&bytes, algorithm));
    }

    /// One flipped bit, anywhere, changes both hashes of the joined parts.
    #[test]
    fn a_flipped_bit_is_seen(len in 1usize..200_000, at: prop::sample::Index, bit in 0u32..8, seed: u64) {
        let plan = PartPlan::new(len as u64, 16_384, 1, 1 << 20, 10_000).unwrap();
        let algorithm = Some(DigestAlgorithm::Blake3);
        let mut bytes = bytes(len, seed);
        let before = parted(&bytes, &plan, algorithm, 5000, shuffled(seed));
        bytes[at.index(len)] ^= 1 << bit;
        let after = parted(&bytes, &plan, algorithm, 5000, shuffled(!seed));
        prop_assert!(before.crc != after.crc && before.digest != after.digest);
    }
}
