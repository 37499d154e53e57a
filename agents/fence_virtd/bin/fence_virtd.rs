//! The daemon on a host that ends and starts guests for fence_xvm.

fn main() -> std::process::ExitCode {
    fence_virtd::main()
}
