# `cpack` makes a .deb of what is installed; tools/package is the entry for people.
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/coxswain RENAME copyright)
install(FILES ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/coxswain)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/docs ${CMAKE_SOURCE_DIR}/tools/monitoring DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/coxswain)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/tools/examples DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/coxswain USE_SOURCE_PERMISSIONS)

set(COX_MAINTAINER "The Coxswain authors <coxswain@localhost>" CACHE STRING "Who answers for the package: Name <address>")
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME coxswain)
set(CPACK_PACKAGE_CONTACT "${COX_MAINTAINER}")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "broker daemon that keeps a fleet of ML nodes in step with its network")
set(CPACK_PACKAGE_DESCRIPTION "A host of the Gonka network runs GPU servers that must be in the right state in every phase of the network.
Coxswain brings them there and keeps them there: commands set intents, one reconciler acts, and it says why.
Every decision is a Lua script that can be changed while the daemon runs.
.
The package holds the daemon with its command line, the policy scripts, a unit for systemd, and the library for
programs that embed the broker.")
# Absolute paths (/etc) go where the package says, not into this machine.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ca-certificates")
# Only programs that link the static library need these.
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libjansson-dev, liblua5.4-dev, libcurl4-openssl-dev, libmicrohttpd-dev, libssl-dev, libsecp256k1-dev, \
libgnutls28-dev, libedit-dev, libsqlite3-dev, libwslay-dev, prometheus")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION TRUE)
set(COX_DEBIAN ${CMAKE_SOURCE_DIR}/tools/debian)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${COX_DEBIAN}/postinst;${COX_DEBIAN}/prerm;${COX_DEBIAN}/postrm;${COX_DEBIAN}/conffiles")
include(CPack)
