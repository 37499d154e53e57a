//! The flag words of libvirt's calls, a type for each call. Invariant: a word can only be given to the call that
//! it belongs to.

macro_rules! flags {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $flag:ident = $value:expr;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name(u32);

        impl $name {
            $($(#[$about])* pub const $flag: Self = Self($value);)+

            /// Both.
            #[must_use]
            pub const fn and(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// The wire's word.
            #[must_use]
            pub const fn word(self) -> u32 {
                self.0
            }
        }
    };
}

flags! {
    /// What to do with a definition's belongings when it is undefined (`virDomainUndefineFlagsValues`).
    UndefineFlags {
        /// Refuse if the domain has NVRAM or a managed save image.
        PLAIN = 0;
        /// Remove the managed save image too.
        MANAGED_SAVE = 1;
        /// Keep the UEFI variables.
        KEEP_NVRAM = 1 << 3;
        /// Keep the TPM's state (libvirt 8.9 and later).
        KEEP_TPM = 1 << 6;
    }
}

flags! {
    /// How a domain comes up (`virDomainCreateFlags`).
    CreateFlags {
        /// Running.
        PLAIN = 0;
        /// Standing still, with its memory in place.
        PAUSED = 1;
        /// Ended by libvirt when this connection ends.
        AUTODESTROY = 1 << 1;
        /// From the beginning, whatever managed save image there is.
        FORCE_BOOT = 1 << 3;
        /// The XML has to pass libvirt's schema.
        VALIDATE = 1 << 4;
    }
}

flags! {
    /// Which ways of asking the guest to shut down may be tried, in libvirt's own order
    /// (`virDomainShutdownFlagValues`).
    ShutdownFlags {
        /// libvirt chooses.
        ANY = 0;
        /// The power button.
        ACPI = 1;
        /// The guest agent.
        AGENT = 1 << 1;
        /// The init of a container.
        INITCTL = 1 << 2;
        /// A signal to the init of a container.
        SIGNAL = 1 << 3;
        /// Xen's own way.
        PARAVIRT = 1 << 4;
    }
}

flags! {
    /// How a domain is ended (`virDomainDestroyFlagsValues`).
    DestroyFlags {
        /// TERM, then KILL.
        PLAIN = 0;
        /// TERM only.
        GRACEFUL = 1;
    }
}

flags! {
    /// How memory is saved and restored (`virDomainSaveRestoreFlags`).
    SaveFlags {
        /// As the domain was.
        PLAIN = 0;
        /// Around the page cache.
        BYPASS_CACHE = 1;
        /// It runs after being restored, whatever it did before.
        RUNNING = 1 << 1;
        /// It stands still after being restored.
        PAUSED = 1 << 2;
    }
}

flags! {
    /// What a definition is checked for (`virDomainDefineFlags`).
    DefineFlags {
        /// Nothing beyond what libvirt needs.
        PLAIN = 0;
        /// It has to pass libvirt's schema.
        VALIDATE = 1;
    }
}

flags! {
    /// Which description of a domain (`virDomainXMLFlags`).
    XmlFlags {
        /// As it is now.
        LIVE = 0;
        /// With passwords: for what is written back as a definition, never for a log.
        SECURE = 1;
        /// What the next start of a persistent domain would use.
        INACTIVE = 1 << 1;
        /// What another host needs for a migration.
        MIGRATABLE = 1 << 3;
    }
}
