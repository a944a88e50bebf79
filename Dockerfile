# docker build -t pointsman .
# docker run -p 8080:8080 -v pointsman:/var/lib/pointsman -v ./conf:/etc/pointsman:ro pointsman

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN make release && mkdir /state

# glibc, the CA certificates, a user called nonroot (65532), and no shell.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/dist/pointsman /usr/local/bin/pointsman
COPY --from=build /src/conf/ /etc/pointsman/
# A named volume takes the owner of the directory that it covers.
COPY --from=build --chown=nonroot:nonroot /state/ /var/lib/pointsman/
VOLUME /var/lib/pointsman
WORKDIR /var/lib/pointsman
USER nonroot:nonroot
EXPOSE 8080
# The control endpoint listens on the container's loopback unless the configuration says otherwise:
# docker exec CONTAINER /usr/local/bin/pointsman ctl status
ENTRYPOINT ["/usr/local/bin/pointsman"]
CMD ["run", "-c", "/etc/pointsman/pointsman.yaml"]
