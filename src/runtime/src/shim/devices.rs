//! What a container may do with which devices, where cgroups are of version 2: there no file says so, a small program does
//! that the kernel asks (`BPF_PROG_TYPE_CGROUP_DEVICE`). With version 1 this is libcontainer's.
//!
//! Input: the device rules of the container's specification. Output: the program, attached to the container's cgroup, where
//! it stays as long as the cgroup does. Layouts and numbers are those of `linux/bpf.h`.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use serde_json::Value;

use crate::error::{At, Error, Result};

const READ_WRITE_MKNOD: u32 = MKNOD | READ | WRITE;
const MKNOD: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;
const BLOCK: u32 = 1;
const CHARACTER: u32 = 2;

/// What every container may do: make device files, and use those that its `/dev` has (runc's list).
const ALWAYS: [Allowed; 10] = [
    Allowed { kind: CHARACTER, major: None, minor: None, access: MKNOD },
    Allowed { kind: BLOCK, major: None, minor: None, access: MKNOD },
    Allowed::character(1, Some(3)),
    Allowed::character(1, Some(5)),
    Allowed::character(1, Some(7)),
    Allowed::character(1, Some(8)),
    Allowed::character(1, Some(9)),
    Allowed::character(5, Some(0)),
    Allowed::character(5, Some(2)),
    Allowed::character(136, None),
];

/// One device, or all of a kind or of a major number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Allowed {
    kind: u32,
    major: Option<u32>,
    minor: Option<u32>,
    access: u32,
}

impl Allowed {
    const fn character(major: u32, minor: Option<u32>) -> Self {
        Self { kind: CHARACTER, major: Some(major), minor, access: READ_WRITE_MKNOD }
    }

    /// A rule of the specification that allows something.
    fn of(rule: &Value) -> Option<Self> {
        let number = |name: &str| rule[name].as_u64().and_then(|number| u32::try_from(number).ok());
        let access = rule["access"].as_str().unwrap_or("rwm");
        let bits = [('m', MKNOD), ('r', READ), ('w', WRITE)];
        Some(Self {
            kind: match rule["type"].as_str()? {
                "b" => BLOCK,
                _ => CHARACTER,
            },
            major: number("major"),
            minor: number("minor"),
            access: bits.iter().filter(|(letter, _)| access.contains(*letter)).map(|(_, bit)| bit).sum(),
        })
    }
}

/// Attaches the program for `rules` to `cgroup`; none where the rules allow everything.
pub(super) fn control(cgroup: &Path, rules: &[Value]) -> Result<()> {
    let allows = |rule: &&Value| rule["allow"] == true;
    if rules.iter().filter(allows).any(|rule| rule["type"].is_null()) {
        return Ok(());
    }
    let allowed: Vec<Allowed> =
        ALWAYS.into_iter().chain(rules.iter().filter(allows).filter_map(Allowed::of)).collect();
    let program = load(&program(&allowed)).map_err(|e| {
        Error::Start(format!("cannot control devices: load a program (CONFIG_CGROUP_BPF): {e}"))
    })?;
    attach(&File::open(cgroup).at("open", cgroup)?, &program)
        .map_err(|e| Error::Start(format!("cannot control devices of {}: {e}", cgroup.display())))
}

/// `struct bpf_insn`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Instruction {
    code: u8,
    /// Destination in the lower, source in the upper four bits.
    registers: u8,
    offset: i16,
    value: i32,
}

const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xbc;
const MOVE_VALUE: u8 = 0xb4;
const AND_VALUE: u8 = 0x54;
const SHIFT_RIGHT_VALUE: u8 = 0x74;
const JUMP_UNLESS_VALUE: u8 = 0x56;
const JUMP_UNLESS: u8 = 0x5e;
const EXIT: u8 = 0x95;

/// Registers: the answer, the question (`struct bpf_cgroup_dev_ctx`), and what is taken out of it.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

fn instruction(code: u8, destination: u8, source: u8, offset: i16, value: u32) -> Instruction {
    Instruction { code, registers: destination | (source << 4), offset, value: value.cast_signed() }
}

fn program(allowed: &[Allowed]) -> Vec<Instruction> {
    let mut code = vec![
        instruction(LOAD_WORD, KIND, CONTEXT, 0, 0),
        instruction(MOVE, ACCESS, KIND, 0, 0),
        instruction(AND_VALUE, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT_VALUE, ACCESS, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    allowed.iter().for_each(|rule| code.extend(allow(rule)));
    code.extend(answer(0));
    code
}

/// Answers yes if the question is about this rule's device and asks for no more; else goes on behind.
fn allow(rule: &Allowed) -> Vec<Instruction> {
    let mut code = vec![instruction(JUMP_UNLESS_VALUE, KIND, 0, 0, rule.kind)];
    for (register, number) in [(MAJOR, rule.major), (MINOR, rule.minor)] {
        code.extend(number.map(|number| instruction(JUMP_UNLESS_VALUE, register, 0, 0, number)));
    }
    if rule.access != READ_WRITE_MKNOD {
        code.push(instruction(MOVE, SCRATCH, ACCESS, 0, 0));
        code.push(instruction(AND_VALUE, SCRATCH, 0, 0, rule.access));
        code.push(instruction(JUMP_UNLESS, SCRATCH, ACCESS, 0, 0));
    }
    code.extend(answer(1));
    let end = code.len();
    for (at, instruction) in code.iter_mut().enumerate() {
        if matches!(instruction.code, JUMP_UNLESS_VALUE | JUMP_UNLESS) {
            instruction.offset = i16::try_from(end - at - 1).expect("a rule is a few instructions");
        }
    }
    code
}

fn answer(value: u32) -> [Instruction; 2] {
    [instruction(MOVE_VALUE, ANSWER, 0, 0, value), instruction(EXIT, 0, 0, 0, 0)]
}

/// The part of `union bpf_attr` that loading needs.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log: [u32; 4],
    version: u32,
    flags: u32,
}

/// The part of `union bpf_attr` that attaching needs.
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

fn load(instructions: &[Instruction]) -> io::Result<OwnedFd> {
    const PROGRAM_LOAD: i32 = 5;
    const CGROUP_DEVICE: u32 = 15;
    let license = c"Apache-2.0";
    let attributes = Load {
        kind: CGROUP_DEVICE,
        count: u32::try_from(instructions.len()).map_err(io::Error::other)?,
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log: [0; 4],
        version: 0,
        flags: 0,
    };
    let fd = bpf(PROGRAM_LOAD, &attributes)?;
    // SAFETY: the kernel made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn attach(cgroup: &File, program: &OwnedFd) -> io::Result<()> {
    const PROGRAM_ATTACH: i32 = 8;
    const DEVICE: u32 = 6;
    /// Beside those of the groups above, all of which must agree.
    const ALLOW_MULTI: u32 = 2;
    let attributes = Attach {
        target: cgroup.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        kind: DEVICE,
        flags: ALLOW_MULTI,
    };
    bpf(PROGRAM_ATTACH, &attributes).map(|_| ())
}

fn bpf<T>(command: i32, attributes: &T) -> io::Result<i32> {
    // SAFETY: the kernel reads as many bytes as stated, and what they point to lives during the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    match i32::try_from(result) {
        Ok(fd) if fd >= 0 => Ok(fd),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Does what the kernel would do with the program.
    fn run(code: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> u32 {
        let mut registers = [0_u32; 8];
        let context = [(access << 16) | kind, major, minor];
        let mut at = 0;
        loop {
            let Instruction { code, registers: named, offset, value } = code[at];
            let (to, from) = (usize::from(named & 15), usize::from(named >> 4));
            let (value, source) = (value.cast_unsigned(), registers[from]);
            at += 1;
            let skip = usize::try_from(offset).unwrap();
            match code {
                LOAD_WORD => registers[to] = context[skip / 4],
                MOVE => registers[to] = source,
                MOVE_VALUE => registers[to] = value,
                AND_VALUE => registers[to] &= value,
                SHIFT_RIGHT_VALUE => registers[to] >>= value,
                JUMP_UNLESS_VALUE if registers[to] != value => at += skip,
                JUMP_UNLESS if registers[to] != source => at += skip,
                JUMP_UNLESS_VALUE | JUMP_UNLESS => {}
                EXIT => return registers[0],
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn a_device_is_for_those_whose_rules_name_it_and_for_what_they_allow() {
        let rules = [
            json!({"allow": true, "type": "b", "major": 259, "minor": 1, "access": "r"}),
            json!({"allow": true, "type": "c", "major": 10, "access": "rw"}),
        ];
        let rules = rules.iter().filter_map(Allowed::of);
        let code = program(&ALWAYS.into_iter().chain(rules).collect::<Vec<_>>());
        for (kind, access, major, minor, expected) in [
            (CHARACTER, READ | WRITE, 1, 3, 1),
            (CHARACTER, READ, 1, 1, 0),
            (CHARACTER, MKNOD, 1, 1, 1),
            (CHARACTER, MKNOD | READ, 1, 1, 0),
            (CHARACTER, READ | WRITE, 136, 77, 1),
            (BLOCK, READ, 1, 3, 0),
            (BLOCK, READ, 259, 1, 1),
            (BLOCK, READ | WRITE, 259, 1, 0),
            (BLOCK, READ, 259, 2, 0),
            (CHARACTER, WRITE, 10, 200, 1),
        ] {
            assert_eq!(run(&code, kind, access, major, minor), expected, "{kind} {access} {major}:{minor}");
        }
    }

    #[test]
    fn the_kernel_takes_the_program() {
        load(&program(&ALWAYS)).unwrap();
    }
}
