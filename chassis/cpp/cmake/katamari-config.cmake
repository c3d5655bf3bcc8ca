# find_package(katamari) then target_link_libraries(mine PRIVATE katamari::katamari).
# It serves the source tree too: set katamari_DIR to chassis/cpp/cmake.
include(CMakeFindDependencyMacro)
find_dependency(nlohmann_json)
find_dependency(Threads)

if(NOT TARGET katamari::katamari)
  find_path(katamari_INCLUDE_DIR katamari/worker.hpp
    HINTS "${CMAKE_CURRENT_LIST_DIR}/../include" "${CMAKE_CURRENT_LIST_DIR}/../../../include"
    NO_DEFAULT_PATH REQUIRED)
  add_library(katamari::katamari INTERFACE IMPORTED)
  target_include_directories(katamari::katamari INTERFACE "${katamari_INCLUDE_DIR}")
  target_compile_features(katamari::katamari INTERFACE cxx_std_17)
  target_link_libraries(katamari::katamari
    INTERFACE nlohmann_json::nlohmann_json Threads::Threads)
endif()
