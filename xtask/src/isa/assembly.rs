//! Finds the inner loop of a kernel in the driver's assembly.

use serde::{Deserialize, Serialize};

/// The instruction counts of the loop with the most multiply-adds.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Loop {
    pub instructions: u64,
    pub multiply_adds: u64,
    /// All instructions on vectors, including the multiply-adds.
    pub vector: u64,
    /// The bytes that each lane reads or writes in workgroup memory, and in buffers.
    pub shared_bytes: u64,
    pub buffer_bytes: u64,
}

/// The bytes that a compute unit moves for each lane in the cycle in which it computes on 64 lanes: it moves
/// 128 bytes of its workgroup memory, and 64 bytes of its cache.
const SHARED: f64 = 2.0;
const BUFFER: f64 = 1.0;

impl Loop {
    /// The share of all instructions that are multiply-adds.
    pub fn multiply_add_share(&self) -> f64 {
        self.multiply_adds as f64 / self.instructions as f64
    }

    /// An estimate of the share of the card's peak. It assumes that vector instructions and the accesses to workgroup
    /// memory and to buffers overlap, and that the slowest of them takes all the time.
    pub fn peak_share(&self) -> f64 {
        let shared = self.shared_bytes as f64 / SHARED;
        let buffer = self.buffer_bytes as f64 / BUFFER;
        self.multiply_adds as f64 / (self.vector as f64).max(shared).max(buffer)
    }
}

/// Finds the inner loop of a listing, whose blocks begin like "BB12:". A loop is what lies between a block and a
/// later branch back to it, and an inner loop contains no other loop.
pub fn inner_loop(listing: &str) -> Option<Loop> {
    let mut blocks: Vec<(&str, usize)> = Vec::new();
    let mut instructions: Vec<&str> = Vec::new();
    let mut loops: Vec<(usize, usize)> = Vec::new();
    for line in listing.lines() {
        let line = line.split(';').next().unwrap_or_default().trim();
        if let Some(block) = line.strip_suffix(':') {
            blocks.push((block, instructions.len()));
        } else if !line.is_empty() {
            instructions.push(line);
            let is_branch = line.starts_with("s_cbranch") || line.starts_with("s_branch");
            let to = line.split_whitespace().last().filter(|_| is_branch);
            if let Some((_, start)) = blocks.iter().find(|(block, _)| Some(*block) == to) {
                loops.push((*start, instructions.len()));
            }
        }
    }
    let is_inner = |&(start, end): &(usize, usize)| {
        !loops
            .iter()
            .any(|&(s, e)| s >= start && e <= end && (s, e) != (start, end) && e - s < end - start)
    };
    let counted = loops.iter().filter(|range| is_inner(range));
    counted
        .map(|&(start, end)| count(&instructions[start..end]))
        .max_by_key(|inner| inner.multiply_adds)
        .filter(|inner| inner.multiply_adds > 0)
}

fn count(instructions: &[&str]) -> Loop {
    let mut counts = Loop { instructions: instructions.len() as u64, ..Loop::default() };
    for line in instructions {
        let name = line.split_whitespace().next().unwrap_or_default();
        let multiply_adds =
            ["v_fma_f32", "v_fmac_f32", "v_mad_f32", "v_mac_f32", "v_fmamk_f32", "v_fmaak_f32"];
        // A dual instruction is two instructions in one line.
        let found = line
            .split_whitespace()
            .map(|word| word.replace("v_dual_", "v_"))
            .filter(|word| multiply_adds.iter().any(|name| word.starts_with(name)));
        counts.multiply_adds += found.count() as u64;
        counts.vector += u64::from(name.starts_with("v_"));
        // "ds_read2_b32" is two accesses; "buffer_load_dwordx4" and "ds_load_b128" access 16 bytes.
        let twice = if name.contains("read2")
            || name.contains("load_2")
            || name.contains("write2")
            || name.contains("store_2")
        {
            2
        } else {
            1
        };
        if name.starts_with("ds_") {
            counts.shared_bytes += twice * bytes(name);
        } else if name.starts_with("buffer_") || name.starts_with("global_") {
            counts.buffer_bytes += bytes(name);
        }
    }
    counts
}

/// The number of bytes that an instruction of this name moves for each lane.
fn bytes(name: &str) -> u64 {
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    match () {
        () if ends(&["b128", "dwordx4"]) => 16,
        () if ends(&["b96", "dwordx3"]) => 12,
        () if ends(&["b64", "dwordx2"]) => 8,
        () => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inner_loop_is_found_and_its_instructions_are_counted() {
        let listing = "\
BB0:
    s_mov_b32 s0, 0                 ; be800380
BB1:
    v_add_f32 v9, v8, v9
BB2:
    buffer_load_dwordx4 v[0:3], v4, s[0:3], 0 offen
    ds_read2_b64 v[4:7], v8
    v_fmac_f32_e32 v10, v0, v4
    v_dual_fmac_f32 v11, v1, v5 :: v_dual_fmac_f32 v12, v2, v6
    v_add_nc_u32 v4, 16, v4
    s_cbranch_scc1 BB2
BB3:
    s_cbranch_scc1 BB1
    s_endpgm";
        let inner = inner_loop(listing).unwrap();
        let expected = Loop {
            instructions: 6,
            multiply_adds: 3,
            vector: 3,
            shared_bytes: 16,
            buffer_bytes: 16,
        };
        assert_eq!(inner, expected);
        assert_eq!((inner.multiply_add_share(), inner.peak_share()), (0.5, 3.0 / 16.0));
        assert_eq!(inner_loop("BB0:\n v_fmac_f32 v0, v1, v2\n s_endpgm"), None);
    }
}
