//! fence_xvm as Pacemaker and people call it; fence_virt under that name.

fn main() -> std::process::ExitCode {
    fence_xvm_agent::main()
}
